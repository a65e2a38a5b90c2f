//! What still breaks a rule, by rule and file, with the exact number of places.

/// Files with lines of more than 100 columns.
pub(crate) const COLUMNS: &[(&str, usize)] = &[];

/// Files with functions of more than 70 lines.
pub(crate) const FUNCTIONS: &[(&str, usize)] = &[];

/// Files with tests whose names have more than 70 characters.
pub(crate) const NAMES: &[(&str, usize)] = &[];

/// Files that nothing uses.
pub(crate) const FILES: &[(&str, usize)] = &[];

/// Manifests that name what nothing uses.
pub(crate) const DEPENDENCIES: &[(&str, usize)] = &[];

/// Files with modules that say where they are.
pub(crate) const MODULE_PATHS: &[(&str, usize)] = &[];

/// The table of laws, while one of them has no tag.
pub(crate) const LAWS: &[(&str, usize)] = &[];

/// Documents that name what is not there, or several files at once.
pub(crate) const DOCS: &[(&str, usize)] = &[];

/// Files that may read a clock or wait for a time, with the number of lines that do or that
/// prepare it, and the reason. Unlike the other lists, this one stays.
pub(crate) const CLOCKS: &[(&str, usize, &str)] = &[
    ("io-redis/benches/support/machine.rs", 4, "it measures"),
    (
        "io-redis/examples/quickstart.rs",
        2,
        "it shows a lock for a few seconds",
    ),
    (
        "io-redis/examples/support/mod.rs",
        6,
        "it shows people how time goes by",
    ),
    (
        "io-redis/src/client/delivery.rs",
        1,
        "a deadlock is bounded by a time",
    ),
    (
        "io-redis/src/link/tests/hub.rs",
        5,
        "time is tokio's, and paused",
    ),
    (
        "io-redis/src/link/tests/with_core.rs",
        2,
        "time is tokio's, and paused",
    ),
    ("io-redis/src/runtime/clock.rs", 2, "it waits by the clock"),
    (
        "io-redis/src/runtime/clock/standard.rs",
        3,
        "it is the clock",
    ),
    ("io-redis/src/runtime/clock/unix.rs", 3, "it is the clock"),
    (
        "io-redis/tests/api.rs",
        1,
        "a deadlock is bounded by a time",
    ),
    (
        "io-redis/tests/runtimes.rs",
        1,
        "that nothing hangs is bounded by a time",
    ),
    (
        "sim/src/cli/explore.rs",
        6,
        "it tells people how far it has come",
    ),
    (
        "sim/src/memory_net/clock.rs",
        4,
        "it is the clock; time is tokio's, and paused",
    ),
    (
        "sim/src/memory_net/world.rs",
        2,
        "it bounds a test; time is tokio's, and paused",
    ),
    ("sim/src/server/clock.rs", 2, "it is the clock"),
    (
        "sim/src/turmoil_net/world.rs",
        2,
        "turmoil's time is simulated",
    ),
    (
        "tests/clockshim/clockshim.c",
        5,
        "it is the clock that a test moves",
    ),
    (
        "sim/tests/faults.rs",
        2,
        "that nothing is answered takes a time",
    ),
    (
        "tests/src/conformance/real.rs",
        1,
        "it bounds what a real server takes",
    ),
    (
        "tests/src/live/server.rs",
        2,
        "it bounds what a real server takes",
    ),
    (
        "tests/src/live/wait.rs",
        4,
        "it waits for real servers, for all live tests",
    ),
    (
        "tests/src/soak/clock.rs",
        3,
        "it is the clock that several processes share",
    ),
    (
        "tests/tests/live/tools/doom.rs",
        2,
        "that nothing is sent or answered takes a time",
    ),
    (
        "tests/tests/live/tools/proxy.rs",
        2,
        "that nothing is answered takes a time",
    ),
    (
        "tests/tests/live/tools/server.rs",
        2,
        "that nothing is answered takes a time",
    ),
    ("tests/tests/tidy/words.rs", 23, "it names the words"),
    (
        "tests/tests/users_code.rs",
        2,
        "it is a user's, who sleeps as users do",
    ),
];
