//! Reading requests off a byte stream: incremental, and bounded.

use std::fmt;

/// The most arguments of one request, as in Redis.
pub const MAX_ARGS: usize = 1024 * 1024;
/// The longest argument. Redis allows 512 MiB; nothing a test sends comes near this.
pub const MAX_ARG: usize = 16 * 1024 * 1024;
/// The longest line: a length, or an inline command.
pub const MAX_LINE: usize = 64 * 1024;

/// Why the bytes are not a request. The server answers with it and closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError(pub(crate) String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol error: {}", self.0)
    }
}

impl std::error::Error for ProtocolError {}

/// Takes bytes in whatever pieces they come, and gives whole requests.
#[derive(Debug, Default)]
pub struct RequestParser {
    buffer: Vec<u8>,
    /// What lies before this was consumed.
    start: usize,
    partial: Option<Partial>,
}

/// A request whose array header was read.
#[derive(Debug)]
struct Partial {
    missing: usize,
    args: Vec<Vec<u8>>,
    /// The length of the next argument, once its header was read.
    length: Option<usize>,
}

impl RequestParser {
    /// An empty parser.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes wait to be parsed.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next whole request, or `None` if more bytes are needed. After an error the stream is
    /// lost.
    ///
    /// # Errors
    /// [`ProtocolError`] for bytes that are no requests.
    pub fn next_request(&mut self) -> Result<Option<Vec<Vec<u8>>>, ProtocolError> {
        loop {
            let Some(mut partial) = self.partial.take() else {
                match self.begin()? {
                    Begun::Nothing => return Ok(None),
                    Begun::Empty => continue,
                    Begun::Whole(args) => return Ok(Some(args)),
                    Begun::Array(missing) => {
                        self.partial = Some(Partial {
                            missing,
                            args: Vec::new(),
                            length: None,
                        });
                        continue;
                    }
                }
            };
            let whole = self.fill(&mut partial)?;
            if !whole {
                self.partial = Some(partial);
                return Ok(None);
            }
            return Ok(Some(partial.args));
        }
    }

    fn begin(&mut self) -> Result<Begun, ProtocolError> {
        let Some(&first) = self.buffer.get(self.start) else {
            return Ok(Begun::Nothing);
        };
        if first != b'*' {
            let Some(line) = self.line("too big inline request")? else {
                return Ok(Begun::Nothing);
            };
            let args = split_inline(&line)?;
            return Ok(if args.is_empty() {
                Begun::Empty
            } else {
                Begun::Whole(args)
            });
        }
        let Some(line) = self.line("too big mbulk count string")? else {
            return Ok(Begun::Nothing);
        };
        let count = super::number::parse_i64(&line[1..]).filter(|n| *n <= MAX_ARGS as i64);
        match count {
            None => Err(ProtocolError("invalid multibulk length".to_owned())),
            Some(n) if n <= 0 => Ok(Begun::Empty),
            Some(n) => Ok(Begun::Array(n as usize)),
        }
    }

    fn fill(&mut self, partial: &mut Partial) -> Result<bool, ProtocolError> {
        while partial.missing > 0 {
            let length = match partial.length {
                Some(length) => length,
                None => {
                    let Some(line) = self.line("too big bulk count string")? else {
                        return Ok(false);
                    };
                    if line.first() != Some(&b'$') {
                        let got = line.first().copied().unwrap_or(b'\r') as char;
                        return Err(ProtocolError(format!(
                            "expected '$', got '{}'",
                            got.escape_default()
                        )));
                    }
                    let length = super::number::parse_i64(&line[1..])
                        .and_then(|n| usize::try_from(n).ok())
                        .filter(|n| *n <= MAX_ARG)
                        .ok_or_else(|| ProtocolError("invalid bulk length".to_owned()))?;
                    *partial.length.insert(length)
                }
            };
            if self.buffered() < length + 2 {
                return Ok(false);
            }
            // Like Redis, take the two bytes after an argument on trust.
            partial
                .args
                .push(self.buffer[self.start..self.start + length].to_vec());
            self.start += length + 2;
            partial.length = None;
            partial.missing -= 1;
        }
        Ok(true)
    }

    /// Takes one line without its end; `None` if it is not whole yet.
    fn line(&mut self, too_long: &str) -> Result<Option<Vec<u8>>, ProtocolError> {
        let rest = &self.buffer[self.start..];
        match rest.iter().take(MAX_LINE).position(|b| *b == b'\n') {
            Some(end) => {
                let line = rest[..end]
                    .strip_suffix(b"\r")
                    .unwrap_or(&rest[..end])
                    .to_vec();
                self.start += end + 1;
                Ok(Some(line))
            }
            None if rest.len() >= MAX_LINE => Err(ProtocolError(too_long.to_owned())),
            None => Ok(None),
        }
    }
}

enum Begun {
    Nothing,
    Empty,
    Whole(Vec<Vec<u8>>),
    Array(usize),
}

/// An inline command: words, of which a quoted one may hold spaces.
fn split_inline(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut args = Vec::new();
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if(|b| b.is_ascii_whitespace()).is_some() {}
        let Some(first) = rest.peek().copied() else {
            return Ok(args);
        };
        let mut word = Vec::new();
        if first == b'"' || first == b'\'' {
            rest.next();
            loop {
                match rest.next() {
                    Some(b) if b == first => break,
                    Some(b) => word.push(b),
                    None => return Err(ProtocolError("unbalanced quotes in request".to_owned())),
                }
            }
        } else {
            while let Some(b) = rest.next_if(|b| !b.is_ascii_whitespace()) {
                word.push(b);
            }
        }
        args.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(parser: &mut RequestParser) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let mut requests = Vec::new();
        while let Some(request) = parser.next_request()? {
            requests.push(request);
        }
        Ok(requests)
    }

    fn encode(request: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
        for arg in request {
            bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            bytes.extend_from_slice(arg);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_requests(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 0..6),
            cuts in prop::collection::vec(1usize..9, 1..200),
        ) {
            let bytes: Vec<u8> = requests.iter().flat_map(|r| encode(r)).collect();
            let mut parser = RequestParser::new();
            let mut seen = Vec::new();
            let mut rest = &bytes[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap_or(&1)).min(rest.len());
                parser.feed(&rest[..cut]);
                rest = &rest[cut..];
                seen.extend(all(&mut parser).expect("well formed"));
            }
            prop_assert_eq!(seen, requests);
            prop_assert_eq!(parser.buffered(), 0);
        }

        #[test]
        fn garbage_is_refused_or_awaited_but_never_panics(
            bytes in prop::collection::vec(prop_oneof![
                Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'"'),
                b'0'..=b'9', any::<u8>()], 0..300),
            cut in 0usize..300,
        ) {
            let whole = {
                let mut parser = RequestParser::new();
                parser.feed(&bytes);
                all(&mut parser)
            };
            let mut parser = RequestParser::new();
            let cut = cut.min(bytes.len());
            parser.feed(&bytes[..cut]);
            let pieces = all(&mut parser).and_then(|mut first| {
                parser.feed(&bytes[cut..]);
                first.extend(all(&mut parser)?);
                Ok(first)
            });
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn an_endless_line_or_a_huge_length_is_refused_not_stored() {
        for bytes in [
            vec![b'a'; MAX_LINE],
            [b"*".to_vec(), vec![b'1'; MAX_LINE]].concat(),
            b"*99999999999\r\n".to_vec(),
            format!("*1\r\n${}\r\n", MAX_ARG + 1).into_bytes(),
            b"*1\r\n$-1\r\n".to_vec(),
            b"*1\r\n:1\r\n".to_vec(),
        ] {
            let mut parser = RequestParser::new();
            parser.feed(&bytes);
            assert!(all(&mut parser).is_err());
        }
    }

    #[test]
    fn a_person_may_type_a_command() {
        let mut parser = RequestParser::new();
        parser.feed(b"\r\nset k 'a b'\r\n*0\r\nping\n");
        let seen = all(&mut parser).expect("well formed");
        assert_eq!(
            seen,
            [
                vec![b"set".to_vec(), b"k".to_vec(), b"a b".to_vec()],
                vec![b"ping".to_vec()]
            ]
        );
    }
}
