//! The command-line program: its output, its error messages, and its exit codes.
#![forbid(unsafe_code)]

use tenure_sim::choice::Choices;
use tenure_sim::cli;
use tenure_sim::world::{Assumption, Scenario, run};

/// Runs the program. Returns its exit code, its output, and its error messages.
fn program(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = args.iter().map(Into::into).collect();
    let code = cli::main(args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (code, text(out), text(err))
}

/// The world of no bytes, in which all decisions are calm. It is the shortest.
const CALM: [&str; 3] = ["replay", "--bytes", ""];
/// A world that has two keys.
const TWO_KEYS: &str = "26";

#[test]
fn replay_the_same_seed_gives_the_same_bytes() {
    let (one, two) = (program(&["replay", "3"]), program(&["replay", "3"]));
    assert_eq!(one, two);
    assert_eq!(one.0, 0);
    assert!(one.1.ends_with("no law was broken\n"));
    assert!(one.1.contains("GRANTED with fence"));
    assert_ne!(one.1, program(&["replay", "4"]).1);
}

#[test]
fn replay_shows_the_last_facts_and_those_of_one_key() {
    let all = program(&CALM).1;
    let last = program(&[&CALM[..], &["--last", "5"]].concat()).1;
    let tail = |text: &str, count: usize| {
        let lines: Vec<_> = text.lines().rev().take(count).map(str::to_owned).collect();
        lines
    };
    assert_eq!(
        tail(&all, 7),
        tail(&last, 7),
        "five facts, and how the run ended"
    );
    assert!(last.lines().count() < all.lines().count());

    // In a world of two keys, the facts of one key are not those of the other.
    let granted = |key| {
        let one = program(&["replay", TWO_KEYS, "--key", key]).1;
        one.lines().filter(|line| line.contains("GRANTED")).count()
    };
    let all = program(&["replay", TWO_KEYS]).1;
    let all = all.lines().filter(|line| line.contains("GRANTED")).count();
    assert!(granted("0") > 0 && granted("1") > 0);
    assert_eq!(granted("0") + granted("1"), all);
}

/// A failure in an exhaustive test or a fuzzer ends with a name of the world. The world is replayed
/// by that name.
#[test]
fn a_world_that_no_seed_draws_is_replayed_by_its_name() {
    let numbers: Vec<u64> = (0..200).map(|n| u64::from(n % 17 == 5) * 999).collect();
    let (small, bytes) = (
        Scenario::small(3, Choices::from_numbers(&numbers)),
        Scenario::from_bytes(&[3, 0, 9, 200, 7, 0, 1]),
    );
    for scenario in [small, bytes] {
        let name = scenario.name().expect("it has a name");
        let args: Vec<_> = name
            .split(' ')
            .map(|word| word.trim_matches('\''))
            .collect();
        let (code, told, _) = program(&[&["replay"], &args[..]].concat());
        assert_eq!(code, 0, "{told}");
        let report = run(&scenario, &mut |_| {});
        let facts = format!("\n{} facts in ", report.facts);
        assert!(told.contains(&facts), "{name}");
    }
}

#[test]
fn explore_shows_the_marks_and_stops_at_a_broken_law() {
    let (code, out, _) = program(&["explore", "--worlds", "4", "--seed", "1", "--jobs", "2"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(" 4 worlds,"), "{out}");
    assert!(out.contains("marks"), "{out}");

    let broken = ["--break", "no-deletion"];
    let search = ["explore", "--worlds", "400", "--seed", "0"];
    let (code, out, _) = program(&[&search[..], &broken].concat());
    assert_eq!(code, 1, "{out}");
    // Its last line says how to replay the run, and that finds the same violation.
    let again = out.lines().last().expect("a last line");
    let words: Vec<_> = again.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "replay");
    let (code, told, _) = program(&words[at.expect("how to replay it")..]);
    assert_eq!(code, 1);
    let broken = told.lines().last().expect("how it ended");
    let sentence = broken.split(": ").last().expect("a sentence");
    assert!(out.contains(sentence), "{out}\n{broken}");
}

#[test]
fn a_wrong_command_says_what_to_do() {
    for (args, hint) in [
        (&["dance"][..], "unrecognized subcommand"),
        (&[], "Usage"),
        (&["replay"], "SEED"),
        (&["replay", "x"], "invalid digit"),
        (&["explore", "--last", "3"], "--help"),
        (
            &["explore", "--seconds", "1", "--worlds", "1"],
            "cannot be used with",
        ),
        (&["shrink", "--bytes", ""], "nothing to shrink"),
        (&["replay", TWO_KEYS, "--key", "2"], "0 to 1"),
        (&["replay", "--bytes", "0"], "pairs of hexadecimal digits"),
        (&["replay", "1", "--bytes", "00"], "cannot be used with"),
        (&["replay", "--small", "6", "--bytes", "00"], "1..=5"),
        (&["shrink", "1", "--small", "1"], "unexpected argument"),
        (&["explore", "--jobs", "0"], "1.."),
        (&["replay", "1", "--break", "nothing"], "client-clocks"),
        (
            &["replay", "1", "--picture", "p.html", "--last", "3"],
            "cannot be used with",
        ),
        (
            &[
                "replay",
                "--bytes",
                "",
                "--picture",
                "/no/such/folder/p.html",
            ],
            "cannot write",
        ),
    ] {
        let (code, out, err) = program(args);
        assert_eq!(code, 2, "{args:?}");
        assert!(err.contains(hint), "{args:?}: {err}");
        assert!(!err.is_empty() && !out.contains("GRANTED"), "{args:?}");
    }
    let (code, help, _) = program(&["explore", "--help"]);
    assert_eq!(code, 0);
    for assumption in Assumption::ALL {
        assert!(help.contains(assumption.name()), "{help}");
    }
}
