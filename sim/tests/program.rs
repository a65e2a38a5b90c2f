//! The command-line program, its pictures, and how it makes a world smaller.
#![forbid(unsafe_code)]

use tenure_core::Instant;
use tenure_sim::choice::{Choices, Decision};
use tenure_sim::cli;
use tenure_sim::fact::{Answer, Ask, Fact, Outcome, Record};
use tenure_sim::judge::{Law, Violation};
use tenure_sim::picture::Picture;
use tenure_sim::shrink::shrink;
use tenure_sim::world::{Outside, Report, Scenario, run};

/// Runs the program: its exit code, what it shows, what it complains of.
fn program(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = args.iter().map(Into::into).collect();
    let code = cli::main(args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (code, text(out), text(err))
}

/// The calm world of no bytes is the shortest.
const CALM: [&str; 3] = ["replay", "--bytes", ""];
/// A world that has two keys.
const TWO_KEYS: &str = "2";

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
        "five facts, and how it ended"
    );
    assert!(last.lines().count() < all.lines().count());

    // A world of two keys: what is about one of them is not about the other.
    let granted = |key| {
        let one = program(&["replay", TWO_KEYS, "--key", key]).1;
        one.lines().filter(|line| line.contains("GRANTED")).count()
    };
    let all = program(&["replay", TWO_KEYS]).1;
    let all = all.lines().filter(|line| line.contains("GRANTED")).count();
    assert!(granted("0") > 0 && granted("1") > 0);
    assert_eq!(granted("0") + granted("1"), all);
}

/// What an exhaustive test or a fuzzer finds is seen again by the name that its failure ends with.
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
fn explore_tells_what_it_came_to_and_stops_at_a_broken_law() {
    let (code, out, _) = program(&["explore", "--worlds", "4", "--seed", "1", "--jobs", "2"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(" 4 worlds,"), "{out}");
    assert!(out.contains("marks"), "{out}");

    let outside = ["--outside", "deletion"];
    let search = ["explore", "--worlds", "400", "--seed", "0"];
    let (code, out, _) = program(&[&search[..], &outside].concat());
    assert_eq!(code, 1, "{out}");
    // It says how to see it again, and that shows the same.
    let again = out.lines().last().expect("a last line");
    let words: Vec<_> = again.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "replay");
    let (code, told, _) = program(&words[at.expect("how to see it again")..]);
    assert_eq!(code, 1);
    let broken = told.lines().last().expect("how it ended");
    let sentence = broken.split(": ").last().expect("a sentence");
    assert!(out.contains(sentence), "{out}\n{broken}");
}

#[test]
fn a_command_that_makes_no_sense_says_what_to_do() {
    for (args, hint) in [
        (&["dance"][..], "say explore, replay or shrink"),
        (&[], "--help"),
        (&["replay"], "replay SEED"),
        (&["replay", "x"], "whole number"),
        (&["explore", "--last", "3"], "--help"),
        (&["explore", "--seconds", "1", "--worlds", "1"], "not both"),
        (&["shrink", "--bytes", ""], "nothing to shrink"),
        (&["replay", TWO_KEYS, "--key", "2"], "0 to 1"),
        (
            &["replay", "1", "--picture", "p.html", "--last", "3"],
            "leave --key and --last out",
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
    assert!(
        Outside::ALL
            .iter()
            .all(|outside| help.contains(outside.name()))
    );
}

/// The page of a run, and the data in it.
fn page(records: &[Record], report: &Report, keys: &[&str]) -> (String, String) {
    let picture = Picture {
        title: "a <run>",
        about: "of two\nlines",
        records,
        clocks: &report.clocks,
        keys,
        violation: report.violation.as_ref(),
        end: report.virtual_time,
    };
    let html = picture.html();
    let (_, data) = html.split_once("id=\"data\">").expect("data");
    let (data, _) = data.split_once("</script>").expect("an end of it");
    let data = data.to_owned();
    (html, data)
}

#[test]
fn a_picture_has_every_lane_and_every_lease_and_needs_nothing_else() {
    let scenario = Scenario::from_seed(5);
    let mut records = Vec::new();
    let report = run(&scenario, &mut |record| records.push(*record));
    let (html, data) = page(&records, &report, &[]);
    let clients = records.iter().filter_map(|record| record.client).max();
    let nodes = records.iter().filter_map(|record| record.node).max();
    for (lane, last) in [("clients", clients), ("nodes", nodes)] {
        let field = format!("\"{lane}\":{}", last.expect("there are some") + 1);
        assert!(data.contains(&field), "{field}");
    }
    let leases = data.split("\"leases\":[").nth(1).expect("leases");
    let (leases, _) = leases.split_once("],\"holds\"").expect("what is held");
    let wanted = records
        .iter()
        .filter(|record| matches!(record.fact, Fact::Wanted { .. }));
    assert_eq!(
        leases.matches("\"").count(),
        2 * wanted.count(),
        "a bar for each lease"
    );
    assert!(html.contains("a &lt;run&gt;"));
    assert!(!html.contains("://") && !html.contains("{{title}}"));
}

#[test]
fn a_picture_marks_a_broken_law_and_escapes_what_is_hostile() {
    let at = |at, fact| Record {
        local: Some(Instant::from_nanos(7)),
        client: Some(0),
        node: Some(1),
        key: Some(0),
        lease: Some(0),
        ..Record::new(at, fact)
    };
    let (ask, serial) = (Ask::Acquire, 1);
    let outcome = Outcome::Answered(Answer::Held);
    let records = [
        at(1, Fact::Wanted { ttl: 9 }),
        at(
            2,
            Fact::Sent {
                ask,
                attempt: 1,
                serial,
            },
        ),
        at(
            5,
            Fact::Heard {
                ask,
                serial,
                outcome,
            },
        ),
    ];
    let hostile = "</script><script>alert(1)</script>{{data}}<!--";
    let report = Report {
        violation: Some(Violation {
            law: Law::Exclusion,
            sentence: hostile.to_owned(),
            at: 5,
            key: Some(0),
        }),
        virtual_time: 10,
        ..Report::default()
    };
    let (html, data) = page(&records, &report, &[hostile]);
    assert!(!html.contains("alert(1)</script>") && !html.contains("<!--"));
    assert!(!data.contains('<') && data.contains("\\u003c/script\\u003e"));
    assert!(data.contains("\"violation\":[5,\"Exclusion\","));
    assert!(
        data.contains("\"nodes\":2"),
        "a node that is only spoken of has a lane"
    );
}

#[test]
fn what_fails_is_made_smaller_still_fails_and_can_be_seen_again() {
    let fails = |report: &Report| report.grants >= 3;
    let first = run(&Scenario::from_seed(2), &mut |_| {});
    assert!(fails(&first));
    let found = [(); 2].map(|()| {
        let found = shrink(Choices::from_seed(2), None, 300, &fails, &mut |_| {});
        found.expect("it fails")
    });
    let [smallest, same] = found;
    assert_eq!(smallest.bytes, same.bytes);
    assert!(
        smallest.report.facts < first.facts / 2,
        "{}",
        smallest.report.facts
    );
    let again = run(&Scenario::from_bytes(&smallest.bytes), &mut |_| {});
    assert!(fails(&again));
    assert_eq!(again.hash, smallest.report.hash);
    assert!(shrink(Choices::from_seed(2), None, 9, &|_| false, &mut |_| {}).is_none());
}

#[test]
fn what_is_written_down_decides_the_same() {
    let scenario = Scenario::from_choices(Choices::from_seed(8).written_down(), None);
    let first = run(&scenario, &mut |_| {});
    let again = run(
        &Scenario::from_bytes(&Decision::to_bytes(&first.decisions)),
        &mut |_| {},
    );
    assert_eq!(first.hash, again.hash);
    assert_eq!(first.facts, again.facts);
}
