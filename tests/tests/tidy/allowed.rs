//! What still breaks a rule, by rule and file. A file that breaks it no more fails the test until
//! it is taken out, so these lists only get shorter.

/// Files with lines of more than 100 columns.
pub(crate) const COLUMNS: &[&str] = &[
    "sim/src/choice.rs",
    "sim/src/cli/explore.rs",
    "sim/src/cli/mod.rs",
    "sim/src/explore/exhaust.rs",
    "sim/src/explore/shrink.rs",
    "sim/src/world/client/application.rs",
    "sim/src/world/drawn.rs",
    "sim/src/world/engine.rs",
    "sim/src/world/fault/at_node.rs",
    "sim/src/world/link/mod.rs",
    "sim/src/world/link/requests.rs",
    "sim/src/world/mod.rs",
    "sim/src/world/queue.rs",
    "sim/src/world/small.rs",
    "sim/tests/exhaustive.rs",
    "sim/tests/faults.rs",
    "sim/tests/redis_rs.rs",
    "sim/tests/world.rs",
    "sim/tests/world_twins.rs",
];

/// Files with functions of more than 70 lines.
pub(crate) const FUNCTIONS: &[&str] = &[
    "sim/src/world/drawn.rs",
    "sim/tests/judge.rs",
    "sim/tests/redis_rs.rs",
    "sim/tests/scripts.rs",
];

/// Files with tests whose names have more than 70 characters.
pub(crate) const NAMES: &[&str] = &[
    "sim/tests/exhaustive.rs",
    "sim/tests/faults.rs",
    "sim/tests/judge.rs",
    "sim/tests/scripts.rs",
];

/// Files that nothing uses.
pub(crate) const FILES: &[&str] = &[];

/// Manifests that name what nothing uses.
pub(crate) const DEPENDENCIES: &[&str] = &[];

/// Files with modules that say where they are.
pub(crate) const MODULE_PATHS: &[&str] = &[];

/// The table of laws, while one of them has no tag.
pub(crate) const LAWS: &[&str] = &[];

/// Documents that name what is not there.
pub(crate) const DOCS: &[&str] = &[];

/// Files that may read a clock or wait for a time, each with the reason. Unlike the other lists,
/// this one stays.
pub(crate) const CLOCKS: &[(&str, &str)] = &[
    ("io-redis/benches/support/mod.rs", "it measures"),
    (
        "io-redis/examples/quickstart.rs",
        "it shows a lock for a few seconds",
    ),
    (
        "io-redis/examples/support/mod.rs",
        "it shows people how time goes by",
    ),
    (
        "io-redis/src/link/tests/hub.rs",
        "time is tokio's, and paused",
    ),
    (
        "io-redis/src/link/tests/with_core.rs",
        "time is tokio's, and paused",
    ),
    ("io-redis/src/runtime/clock.rs", "it waits by the clock"),
    ("io-redis/src/runtime/clock/standard.rs", "it is the clock"),
    ("io-redis/src/runtime/clock/unix.rs", "it is the clock"),
    (
        "sim/src/cli/explore.rs",
        "it tells people how far it has come",
    ),
    (
        "sim/src/memory_net/clock.rs",
        "it is the clock; time is tokio's, and paused",
    ),
    (
        "sim/src/memory_net/world.rs",
        "it bounds a test; time is tokio's, and paused",
    ),
    ("sim/src/server/clock.rs", "it is the clock"),
    (
        "sim/tests/faults.rs",
        "that nothing is answered takes a time",
    ),
    (
        "tests/src/conformance/real.rs",
        "it bounds what a real server takes",
    ),
    (
        "tests/src/live/server.rs",
        "it bounds what a real server takes",
    ),
    (
        "tests/src/live/wait.rs",
        "it waits for real servers, for all live tests",
    ),
    (
        "tests/tests/live/tools/proxy.rs",
        "that nothing is answered takes a time",
    ),
    (
        "tests/tests/live/tools/server.rs",
        "that nothing is answered takes a time",
    ),
    ("tests/tests/tidy/words.rs", "it names the words"),
    (
        "tests/tests/users_code.rs",
        "it is a user's, who sleeps as users do",
    ),
];
