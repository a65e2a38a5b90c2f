//! What a Sentinel is asked, what it answers, and what it pushes.

use redis::{Cmd, PushInfo, PushKind, Value};
use tenure_core::{Refusal, Reply, Words};

use crate::protocol::decode::{self, CommandResult};
use crate::runtime::Endpoint;

/// The channel at which a Sentinel tells that a group has another primary.
pub(crate) const SWITCHED: &[u8] = b"+switch-master";

/// Asks for the primary of the group with this name.
pub(crate) fn ask(name: &str) -> Cmd {
    let mut cmd = redis::cmd("SENTINEL");
    cmd.arg("get-master-addr-by-name").arg(name);
    cmd
}

/// The longest name of a host, in bytes. One in the DNS has 253.
const LONGEST_HOST: usize = 255;

/// Why a Sentinel names no primary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// It may do so another time.
    Unavailable(String),
    /// It will not, until somebody changes something.
    Rejected(String),
}

/// Reads the answer to [`ask`].
pub(crate) fn primary(result: &CommandResult, name: &str) -> Result<Endpoint, Unnamed> {
    if let Some((reply, _)) = decode::trouble(result) {
        return Err(match reply {
            Reply::NotApplied(Refusal::Rejected(words)) if knows_no_sentinel(&words) => {
                Unnamed::Rejected(NO_SENTINEL.to_owned())
            }
            Reply::NotApplied(Refusal::Rejected(words)) => Unnamed::Rejected(words.to_string()),
            other => {
                let words = other.words().map(ToString::to_string);
                Unnamed::Unavailable(words.unwrap_or_else(|| "an error without words".to_owned()))
            }
        });
    }
    match result {
        Ok(Value::Nil) => Err(Unnamed::Rejected(format!(
            "it knows no primary of the name {name}"
        ))),
        Ok(Value::Array(parts)) => endpoint(parts).ok_or_else(nonsense),
        _ => Err(nonsense()),
    }
}

/// What is said of a server at which a Sentinel was looked for.
const NO_SENTINEL: &str = "it is a server and no Sentinel: it does not have the command SENTINEL";

fn knows_no_sentinel(words: &Words) -> bool {
    words.as_str().contains("unknown command")
}

fn nonsense() -> Unnamed {
    Unnamed::Unavailable("its answer cannot be understood".to_owned())
}

fn endpoint(parts: &[Value]) -> Option<Endpoint> {
    let [host, port] = parts else {
        return None;
    };
    let text = |value| std::str::from_utf8(decode::bytes(value)?).ok();
    let host = text(host).filter(|host| is_host(host))?;
    let port = text(port)?.parse().ok().filter(|port| *port != 0)?;
    let host = host.to_owned();
    Some(Endpoint::Tcp { host, port })
}

/// Whether it may be the name or the address of a host.
fn is_host(text: &str) -> bool {
    let breaks_a_line = |c: char| c.is_whitespace() || c.is_control();
    (1..=LONGEST_HOST).contains(&text.len()) && !text.contains(breaks_a_line)
}

/// Whether a push tells that the group with this name has another primary: its name, the address
/// before and the address now.
pub(crate) fn is_switch(push: &PushInfo, name: &str) -> bool {
    let (PushKind::Message, [channel, text]) = (&push.kind, &push.data[..]) else {
        return false;
    };
    let text = decode::bytes(text).unwrap_or_default();
    let of = text.split(|byte| *byte == b' ').next();
    decode::bytes(channel) == Some(SWITCHED) && of == Some(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn answered(parts: &[&str]) -> Result<Endpoint, Unnamed> {
        let parts = parts.iter().map(|part| text(part)).collect();
        primary(&Ok(Value::Array(parts)), "orders")
    }

    #[test]
    fn the_address_that_a_sentinel_names_is_dialled_as_it_is() {
        let longest = "h".repeat(LONGEST_HOST);
        for (host, port) in [
            ("10.0.0.7", 6379),
            ("::1", 1),
            ("redis-0.redis", 65_535),
            // As long as what is hidden where words are shown.
            ("node-5f3c9a7be01d42aa8c.internal", 6379),
            (&longest, 6379),
        ] {
            let host = host.to_owned();
            let named = answered(&[&host, &port.to_string()]);
            assert_eq!(named, Ok(Endpoint::Tcp { host, port }));
        }
    }

    #[test]
    fn an_answer_that_names_no_address_is_no_answer() {
        let too_long = "h".repeat(LONGEST_HOST + 1);
        for parts in [
            &["10.0.0.7"][..],
            &["10.0.0.7", "0"],
            &["10.0.0.7", "65536"],
            &["10.0.0.7", "port"],
            &["", "6379"],
            &["two\nlines", "6379"],
            &["two words", "6379"],
            &["an\u{1b}escape", "6379"],
            &[&too_long, "6379"],
            &["10.0.0.7", "6379", "more"],
        ] {
            let refused = answered(parts);
            assert!(
                matches!(refused, Err(Unnamed::Unavailable(_))),
                "{parts:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_known_waits_for_somebody_to_change_it() {
        match primary(&Ok(Value::Nil), "orders") {
            Err(Unnamed::Rejected(words)) => assert!(words.contains("orders"), "{words}"),
            other => panic!("{other:?}"),
        }
        let says = |line: &str| redis::parse_redis_value(line.as_bytes()).expect("an error");
        // A server that is no Sentinel.
        let unknown = says("-ERR unknown command 'SENTINEL', with args beginning with: 'get'\r\n");
        let rejected = Err(Unnamed::Rejected(NO_SENTINEL.to_owned()));
        assert_eq!(primary(&Ok(unknown), "orders"), rejected);
        let busy = says("-IDONTKNOW I have not enough information to reply.\r\n");
        assert!(matches!(
            primary(&Ok(busy), "orders"),
            Err(Unnamed::Unavailable(words)) if words.contains("IDONTKNOW")
        ));
    }

    #[test]
    fn only_a_switch_of_this_group_counts() {
        let push = |channel: &str, said: &str| PushInfo {
            kind: PushKind::Message,
            data: vec![text(channel), text(said)],
        };
        let said = "orders 10.0.0.1 6379 10.0.0.2 6379";
        assert!(is_switch(&push("+switch-master", said), "orders"));
        assert!(!is_switch(&push("+switch-master", said), "order"));
        assert!(!is_switch(&push("+sdown", said), "orders"));
        let mut subscribed = push("+switch-master", said);
        subscribed.kind = PushKind::Subscribe;
        assert!(!is_switch(&subscribed, "orders"));
    }
}
