//! What a server answers, and how RESP2 and RESP3 write it.

/// One reply. Each protocol writes it in its own way: a map is a flat array in RESP2, for example.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A status line, such as `OK`.
    Status(String),
    /// An error line, its code first: `WRONGTYPE Operation …`.
    Error(String),
    /// An integer.
    Int(i64),
    /// A floating-point number; in RESP2 a bulk string.
    Double(f64),
    /// A byte string.
    Bulk(Vec<u8>),
    /// A text for people (`INFO`); in RESP2 a bulk string.
    Text(String),
    /// No value.
    Null,
    /// Replies in a row.
    Array(Vec<Reply>),
    /// Pairs, in order.
    Map(Vec<(Reply, Reply)>),
    /// Pairs, in order; in RESP3 each is an array of its own.
    Pairs(Vec<(Reply, Reply)>),
    /// A message that nobody asked for; in RESP2 an array.
    Push(Vec<Reply>),
}

impl Reply {
    /// The status `OK`.
    pub fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    /// A bulk string of these bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().to_vec())
    }

    /// The first word of an error (`WRONGTYPE`, `NOSCRIPT`, …), if this is an error.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text.split(' ').next().unwrap_or_default()),
            _ => None,
        }
    }

    /// The first word of a push that says that keys have changed.
    pub(crate) const INVALIDATE: &str = "invalidate";

    /// Whether this is what somebody published, or says that keys have changed, and no answer.
    pub(crate) fn is_message(&self) -> bool {
        let is =
            |first: &Self| [Self::bulk("message"), Self::bulk(Self::INVALIDATE)].contains(first);
        matches!(self, Self::Push(items) if items.first().is_some_and(is))
    }

    /// Appends the bytes of this reply in the given protocol (2 or 3).
    pub fn encode(&self, protocol: Protocol, out: &mut Vec<u8>) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Status(text) => line(out, b'+', text),
            Self::Error(text) => line(out, b'-', text),
            Self::Int(n) => line(out, b':', &n.to_string()),
            Self::Double(n) if resp3 => line(out, b',', &double_text(*n)),
            Self::Double(n) => blob(out, b'$', double_text(*n).as_bytes()),
            Self::Bulk(bytes) => blob(out, b'$', bytes),
            Self::Text(text) if resp3 => blob(out, b'=', format!("txt:{text}").as_bytes()),
            Self::Text(text) => blob(out, b'$', text.as_bytes()),
            Self::Null if resp3 => out.extend_from_slice(b"_\r\n"),
            Self::Null => out.extend_from_slice(b"$-1\r\n"),
            Self::Array(items) => sequence(out, b'*', items, protocol),
            Self::Push(items) => sequence(out, if resp3 { b'>' } else { b'*' }, items, protocol),
            Self::Pairs(pairs) if resp3 => {
                line(out, b'*', &pairs.len().to_string());
                for (one, other) in pairs {
                    line(out, b'*', "2");
                    one.encode(protocol, out);
                    other.encode(protocol, out);
                }
            }
            Self::Pairs(pairs) => {
                line(out, b'*', &(pairs.len() * 2).to_string());
                for (one, other) in pairs {
                    one.encode(protocol, out);
                    other.encode(protocol, out);
                }
            }
            Self::Map(pairs) => {
                let (kind, count) = if resp3 {
                    (b'%', pairs.len())
                } else {
                    (b'*', pairs.len() * 2)
                };
                line(out, kind, &count.to_string());
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
        }
    }
}

/// Which protocol a connection speaks. It begins with RESP2 and changes by `HELLO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What every Redis speaks.
    #[default]
    Resp2,
    /// Since Redis 6: typed replies, and pushes.
    Resp3,
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    // A line ends at CR LF, so a text may hold neither.
    out.extend(
        text.bytes()
            .map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }),
    );
    out.extend_from_slice(b"\r\n");
}

fn blob(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    line(out, kind, &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn sequence(out: &mut Vec<u8>, kind: u8, items: &[Reply], protocol: Protocol) {
    line(out, kind, &items.len().to_string());
    for item in items {
        item.encode(protocol, out);
    }
}

fn double_text(n: f64) -> String {
    if n.is_nan() {
        "nan".to_owned()
    } else if n.is_infinite() {
        if n > 0.0 {
            "inf".to_owned()
        } else {
            "-inf".to_owned()
        }
    } else {
        super::number::format_g17(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply, protocol: Protocol) -> String {
        let mut out = Vec::new();
        reply.encode(protocol, &mut out);
        String::from_utf8(out).expect("the samples are text")
    }

    #[test]
    fn each_protocol_writes_a_reply_in_its_own_way() {
        let map = Reply::Map(vec![
            (Reply::bulk("a"), Reply::Int(-1)),
            (Reply::bulk("b"), Reply::Null),
        ]);
        assert_eq!(
            wire(&map, Protocol::Resp2),
            "*4\r\n$1\r\na\r\n:-1\r\n$1\r\nb\r\n$-1\r\n"
        );
        assert_eq!(
            wire(&map, Protocol::Resp3),
            "%2\r\n$1\r\na\r\n:-1\r\n$1\r\nb\r\n_\r\n"
        );
        let push = Reply::Push(vec![Reply::ok()]);
        assert_eq!(wire(&push, Protocol::Resp2), "*1\r\n+OK\r\n");
        assert_eq!(wire(&push, Protocol::Resp3), ">1\r\n+OK\r\n");
        assert_eq!(
            wire(&Reply::Text("hi".into()), Protocol::Resp3),
            "=6\r\ntxt:hi\r\n"
        );
        assert_eq!(wire(&Reply::Double(3.5), Protocol::Resp3), ",3.5\r\n");
        assert_eq!(wire(&Reply::Double(3.5), Protocol::Resp2), "$3\r\n3.5\r\n");
    }

    #[test]
    fn a_line_break_inside_an_error_cannot_end_its_line() {
        assert_eq!(
            wire(&Reply::Error("ERR a\r\n+OK".into()), Protocol::Resp2),
            "-ERR a  +OK\r\n"
        );
    }

    #[test]
    fn the_code_of_an_error_is_its_first_word() {
        assert_eq!(
            Reply::Error("NOSCRIPT No matching".into()).error_code(),
            Some("NOSCRIPT")
        );
        assert_eq!(Reply::ok().error_code(), None);
    }
}
