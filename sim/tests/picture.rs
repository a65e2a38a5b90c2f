//! The picture of a run: what is in the page, and that nothing in it runs or is fetched.
#![forbid(unsafe_code)]

use serde_json::{Value, json};
use tenure_core::{Instant, OpKind};
use tenure_sim::judge::{Law, Violation};
use tenure_sim::observe::fact::{Answer, Fact, Outcome, Record};
use tenure_sim::picture::Picture;
use tenure_sim::world::{Report, Scenario, run};

/// The page of a run, and the JSON in it.
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
fn a_picture_shows_every_lane_and_lease_and_loads_no_other_file() {
    let scenario = Scenario::from_seed(5);
    let mut records = Vec::new();
    let report = run(&scenario, &mut |record| records.push(*record));
    let (html, data) = page(&records, &report, &[]);
    let clients = records.iter().filter_map(|record| record.client).max();
    let nodes = records.iter().filter_map(|record| record.node).max();
    let data: Value = serde_json::from_str(&data).expect("it is JSON");
    for (lane, last) in [("clients", clients), ("nodes", nodes)] {
        assert_eq!(data[lane], json!(last.expect("there are some") + 1));
    }
    let wanted = records
        .iter()
        .filter(|record| matches!(record.fact, Fact::Wanted { .. }));
    let bars = data["leases"].as_array().expect("a list");
    assert_eq!(bars.len(), wanted.count(), "a bar for each lease");
    assert!(html.contains("a &lt;run&gt;"));
    assert!(!html.contains("://") && !html.contains("{{title}}"));
}

#[test]
fn a_picture_marks_a_broken_law_and_escapes_hostile_text() {
    let at = |at, fact| Record {
        local: Some(Instant::from_nanos(7)),
        client: Some(0),
        node: Some(1),
        key: Some(0),
        lease: Some(0),
        ..Record::new(at, fact)
    };
    let (ask, serial) = (OpKind::Acquire, 1);
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
    let data: Value = serde_json::from_str(&data).expect("it is JSON");
    assert_eq!(data["violation"], json!([5, "Exclusion", hostile, 0]));
    assert_eq!(
        data["nodes"], 2,
        "a node that only facts of others name has a lane"
    );
}

#[test]
fn a_picture_draws_places_and_pushes() {
    let (mut places, mut pushes, mut heard) = (0, 0, 0);
    for seed in 0..60 {
        let scenario = Scenario::from_seed(seed);
        let mut records = Vec::new();
        let report = run(&scenario, &mut |record| records.push(*record));
        let (_, data) = page(&records, &report, &[]);
        let data: Value = serde_json::from_str(&data).expect("it is JSON");
        let list = |name: &str| data[name].as_array().expect("a list").clone();
        places += list("places").len();
        pushes += list("pushes").len();
        heard += list("pushes").iter().filter(|push| push[6] != -1).count();
    }
    assert!(places > 100, "{places} places");
    assert!(heard > 20 && heard < pushes, "{heard} of {pushes} pushes");
}

/// A hint is no fact until it is heard.
#[test]
fn a_picture_draws_each_hint_from_the_release_that_was_done_before_it() {
    let mut hints = 0;
    for seed in 0..12 {
        let scenario = Scenario::from_seed(seed);
        let mut records = Vec::new();
        let report = run(&scenario, &mut |record| records.push(*record));
        let (_, data) = page(&records, &report, &[]);
        let data: Value = serde_json::from_str(&data).expect("it is JSON");
        let text = json!(Fact::Hinted.to_string());
        let texts = data["texts"].as_array().expect("a list");
        let says_so = |push: &&Value| texts[push[7].as_u64().unwrap_or(0) as usize] == text;
        let pushes = data["pushes"].as_array().expect("a list").iter();
        let mut drawn = pushes.filter(says_so);
        for (at, record) in records.iter().enumerate() {
            if record.fact != Fact::Hinted {
                continue;
            }
            let frees = |other: &&Record| {
                let released = matches!(
                    other.fact,
                    Fact::Did {
                        ask: OpKind::Release,
                        ..
                    }
                );
                released && (other.node, other.key) == (record.node, record.key)
            };
            let last = records[..at].iter().rev().find(frees).expect("one is done");
            let push = drawn.next().expect("it is drawn");
            assert_eq!(push[0], json!(last.at));
            assert_eq!(push[6], json!(record.at));
            hints += 1;
        }
        assert!(drawn.next().is_none(), "and nothing else");
    }
    assert!(hints > 100, "{hints} hints");
}

#[test]
fn a_picture_knows_each_request_by_its_number_and_has_a_colour_for_it() {
    let (html, _) = page(&[], &Report::default(), &[]);
    let (_, asks) = html.split_once("const ASKS = [").expect("a list");
    let (asks, _) = asks.split_once(']').expect("an end of it");
    let asks: Vec<_> = asks.split('"').skip(1).step_by(2).collect();
    let known: Vec<_> = OpKind::ALL
        .iter()
        .map(|kind| format!("{kind:?}").to_lowercase())
        .collect();
    assert_eq!(asks, known);
    for ask in asks {
        let colours = html.matches(&format!("--{ask}: #")).count();
        assert_eq!(colours, 2, "{ask}: one by day and one by night");
    }
}
