//! Transcripts of situations worth understanding: what the core does, fact by fact, in small scenes
//! that are played and compared with `tests/transcripts`, byte for byte. A change of the core that
//! changes what travels, when, or what is told, shows here as a difference that can be read.
//!
//! `TENURE_BLESS=1 cargo test -p tenure-tests --test transcripts` writes them anew.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod scenes;
mod stage;

use std::fs;
use std::path::PathBuf;

use scenes::SCENES;
use stage::Stage;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "transcripts"].iter().collect()
}

/// Plays a scene; every law is watched meanwhile.
fn play(scene: &scenes::Scene) -> String {
    let mut stage = Stage::new(scene.nodes, scene.clients, scene.queues);
    (scene.play)(&mut stage);
    let facts = stage.finish();
    let prose = scene.prose.trim();
    format!("{}\n\n{prose}\n\n{facts}", scene.title)
}

#[test]
fn each_scene_is_played_as_its_transcript_says() {
    let bless = std::env::var_os("TENURE_BLESS").is_some();
    let mut wrong = Vec::new();
    for scene in SCENES {
        let path = folder().join(scene.file).with_extension("txt");
        let played = play(scene);
        assert_eq!(played, play(scene), "Replay: {}", scene.file);
        if bless {
            fs::write(&path, &played).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        if known != played {
            let at = known.lines().zip(played.lines()).position(|(a, b)| a != b);
            let at = at.unwrap_or_else(|| known.lines().count().min(played.lines().count()));
            let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
            wrong.push(format!(
                "{}, line {}:\n  known:  {}\n  played: {}",
                scene.file,
                at + 1,
                line(&known),
                line(&played)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nIf that is meant: TENURE_BLESS=1, and read what has changed.",
        wrong.join("\n")
    );
}

#[test]
fn each_transcript_has_its_scene() {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut scenes: Vec<_> = SCENES.iter().map(|scene| scene.file.to_owned()).collect();
    scenes.sort();
    assert_eq!(files, scenes);
}
