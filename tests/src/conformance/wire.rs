//! Requests and replies on the wire, written without the embedded server's codec, so that a mistake
//! there shows.

/// A reply as far as two servers must agree on it: of an error only the code.
#[derive(Clone, Debug, PartialEq)]
pub enum Wire {
    /// `+`
    Status(String),
    /// `-`, the first word.
    Error(String),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `=`, with its three-letter kind.
    Text(Vec<u8>),
    /// `,`
    Double(String),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*`
    Array(Vec<Wire>),
    /// `%`
    Map(Vec<Wire>),
    /// `>`
    Push(Vec<Wire>),
}

/// The bytes of one request.
pub fn request(argv: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", argv.len()).into_bytes();
    for arg in argv {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first reply in these bytes and its length; `None` if it is not whole.
///
/// # Panics
/// If the bytes are no reply: then one of the servers is broken, and the test with it.
pub fn reply(bytes: &[u8]) -> Option<(Wire, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
    let after = end + 2;
    let number = || {
        line.parse::<i64>()
            .unwrap_or_else(|_| panic!("no number: {line:?}"))
    };
    let simple = |value| Some((value, after));
    match bytes[0] {
        b'+' => simple(Wire::Status(line)),
        b'-' => simple(Wire::Error(
            line.split(' ').next().unwrap_or_default().to_owned(),
        )),
        b':' => simple(Wire::Int(number())),
        b',' => simple(Wire::Double(line)),
        b'_' => simple(Wire::Null),
        b'$' | b'=' => {
            let Ok(length) = usize::try_from(number()) else {
                return simple(Wire::NullBulk);
            };
            let body = bytes.get(after..after + length)?.to_vec();
            bytes.get(after + length..after + length + 2)?;
            let value = if bytes[0] == b'$' {
                Wire::Bulk(body)
            } else {
                Wire::Text(body)
            };
            Some((value, after + length + 2))
        }
        kind @ (b'*' | b'%' | b'>') => {
            let Ok(count) = usize::try_from(number()) else {
                return simple(Wire::NullArray);
            };
            let count = if kind == b'%' { count * 2 } else { count };
            let mut items = Vec::new();
            let mut at = after;
            for _ in 0..count {
                let (item, length) = reply(bytes.get(at..).filter(|rest| !rest.is_empty())?)?;
                items.push(item);
                at += length;
            }
            let value = match kind {
                b'*' => Wire::Array(items),
                b'%' => Wire::Map(items),
                _ => Wire::Push(items),
            };
            Some((value, at))
        }
        other => panic!("no reply begins with {:?}", other as char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_once_it_is_whole() {
        let bytes = b"*3\r\n$2\r\na\n\r\n%1\r\n+k\r\n:-5\r\n_\r\n";
        for cut in 0..bytes.len() {
            assert_eq!(reply(&bytes[..cut]), None, "{cut}");
        }
        let map = Wire::Map(vec![Wire::Status("k".into()), Wire::Int(-5)]);
        let expected = Wire::Array(vec![Wire::Bulk(b"a\n".to_vec()), map, Wire::Null]);
        assert_eq!(reply(bytes), Some((expected, bytes.len())));
    }

    #[test]
    fn errors_are_their_codes() {
        assert_eq!(reply(b"-OOM no\r\n"), Some((Wire::Error("OOM".into()), 9)));
    }
}
