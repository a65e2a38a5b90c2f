//! As much of the Redis protocol as the proxy must understand: where a frame ends, and which words
//! a command has.

/// The bytes are no RESP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotResp;

/// The length of the first whole frame of `bytes`, of either protocol version; `None` if more
/// bytes are needed. An attribute belongs to the reply behind it.
pub(super) fn frame_len(bytes: &[u8]) -> Result<Option<usize>, NotResp> {
    let mut at = 0;
    let mut missing = 1_usize;
    while missing > 0 {
        let Some((line, after)) = line(bytes, at) else {
            return Ok(None);
        };
        let (&kind, rest) = line.split_first().ok_or(NotResp)?;
        at = after;
        missing -= 1;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'=' | b'!' => {
                if let Some(length) = count(rest)? {
                    at += length + 2;
                    if bytes.len() < at {
                        return Ok(None);
                    }
                }
            }
            b'*' | b'~' | b'>' => missing += count(rest)?.unwrap_or(0),
            b'%' => missing += 2 * count(rest)?.unwrap_or(0),
            // Its pairs come first, and then still the reply that it is about.
            b'|' => missing += 2 * count(rest)?.unwrap_or(0) + 1,
            _ => return Err(NotResp),
        }
    }
    Ok(Some(at))
}

/// The words of a command, which is one whole frame.
pub(super) fn words(frame: &[u8]) -> Result<Vec<Vec<u8>>, NotResp> {
    let (head, mut at) = line(frame, 0).ok_or(NotResp)?;
    let head = head.strip_prefix(b"*").ok_or(NotResp)?;
    let mut words = Vec::new();
    for _ in 0..count(head)?.unwrap_or(0) {
        let (length, begin) = line(frame, at).ok_or(NotResp)?;
        let length = count(length.strip_prefix(b"$").ok_or(NotResp)?)?.ok_or(NotResp)?;
        words.push(frame.get(begin..begin + length).ok_or(NotResp)?.to_vec());
        at = begin + length + 2;
    }
    Ok(words)
}

/// A command of these words, as a client sends it.
pub(super) fn written(words: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        frame.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        frame.extend_from_slice(word);
        frame.extend_from_slice(b"\r\n");
    }
    frame
}

/// The line that begins at `at`, without its end, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&rest[..end], at + end + 2))
}

/// A length; `None` is the null of protocol version 2 (`-1`).
fn count(digits: &[u8]) -> Result<Option<usize>, NotResp> {
    let text = std::str::from_utf8(digits).map_err(|_| NotResp)?;
    match text {
        "-1" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| NotResp),
    }
}

#[cfg(test)]
mod tests {
    use super::{NotResp, frame_len, words, written};

    const FRAMES: [&[u8]; 16] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-1\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n+O\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"=6\r\ntxt:ab\r\n",
        b"%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n",
        b">2\r\n+message\r\n~1\r\n(12\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n:7\r\n",
    ];

    #[test]
    fn a_frame_ends_where_its_last_part_ends() {
        for frame in FRAMES {
            let mut followed = frame.to_vec();
            followed.extend_from_slice(b"+next\r\n");
            assert_eq!(
                frame_len(&followed),
                Ok(Some(frame.len())),
                "{}",
                frame.escape_ascii()
            );
        }
    }

    #[test]
    fn no_beginning_of_a_frame_is_taken_for_the_whole() {
        for frame in FRAMES {
            for end in 0..frame.len() {
                assert_eq!(
                    frame_len(&frame[..end]),
                    Ok(None),
                    "{}",
                    frame.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_said_to_be_none() {
        assert_eq!(frame_len(b"PING\r\n"), Err(NotResp));
        assert_eq!(frame_len(b"$x\r\n"), Err(NotResp));
        assert_eq!(words(b"*1\r\n:1\r\n"), Err(NotResp));
    }

    #[test]
    fn a_command_is_taken_apart_into_its_words_whatever_bytes_they_hold() {
        let frame = b"*3\r\n$3\r\nSET\r\n$4\r\n\r\n$1\r\n$0\r\n\r\n";
        let taken = [b"SET".to_vec(), b"\r\n$1".to_vec(), Vec::new()];
        assert_eq!(words(frame), Ok(taken.to_vec()));
        assert_eq!(written(&taken), frame);
    }
}
