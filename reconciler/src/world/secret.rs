//! Owns bytes that must not stay in memory: keys, and the orders that carry them to a child. They are overwritten when they go.
//! Never logs one. The interesting functions are [`to_line`] and [`read_line`], which leave no copy on the way.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use contract::code;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::process::guard::{self, Limits};
use super::process::{self, Input, Stderr};
use crate::failure::Failure;

/// A shorter secret can be guessed.
const SHORTEST_SHARED: usize = 16;

/// A secret that people copy from one form into another is a line.
const LONGEST_SHARED: usize = 4 << 10;

/// A program that gives a secret and answers slower is down; a person waits for the answer.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// How much is read at a time: most orders fit.
const CHUNK: usize = 64 << 10;

/// Bytes that are overwritten when they go, and that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same without one trailing newline, which editors and `echo` leave.
    #[must_use]
    pub fn without_newline(mut self) -> Self {
        if self.0.ends_with(b"\n") {
            self.0.pop();
        }
        self
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Two letters a byte: text without escapes is read without a copy.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let mut text = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        for byte in self.0.iter() {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Letters;
        impl Visitor<'_> for Letters {
            type Value = Secret;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
                let (pairs, rest) = text.as_bytes().as_chunks::<2>();
                let digit = |letter: u8| char::from(letter).to_digit(16);
                for [high, low] in pairs {
                    let byte = digit(*high)
                        .zip(digit(*low))
                        .map(|(high, low)| high << 4 | low);
                    let byte = byte.and_then(|byte| u8::try_from(byte).ok());
                    bytes.push(byte.ok_or_else(|| E::custom("not a hexadecimal digit"))?);
                }
                if rest.is_empty() {
                    Ok(Secret(bytes))
                } else {
                    Err(E::custom("an odd number of digits"))
                }
            }
        }
        deserializer.deserialize_str(Letters)
    }
}

/// A message as one line of JSON. It is measured first: a buffer that grows leaves its earlier copies in memory.
///
/// # Errors
/// When the message has no JSON form.
pub fn to_line(message: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    struct Length(usize);
    impl Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    serde_json::to_writer(&mut length, message)?;
    let mut line = Zeroizing::new(Vec::with_capacity(length.0 + 1));
    serde_json::to_writer(&mut *line, message)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads to the first line end or the end of the input, and no further than one read goes. The input must have no buffer of
/// its own.
///
/// # Errors
/// When the input cannot be read or has no line end within `limit` bytes.
pub fn read_line(input: &mut impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(CHUNK));
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    loop {
        let count = input.read(&mut chunk)?;
        let read = chunk.get(..count).unwrap_or_default();
        if line.capacity() - line.len() < count {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * line.capacity() + count));
            larger.extend_from_slice(&line);
            line = larger;
        }
        line.extend_from_slice(read);
        if count == 0 || read.contains(&b'\n') {
            return Ok(line);
        }
        if line.len() > limit {
            return Err(io::Error::other("it is too long"));
        }
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is longer.
pub fn read_file(path: &std::path::Path, limit: usize) -> io::Result<Secret> {
    let mut file = std::fs::File::open(path)?;
    // One byte more than the limit, so that a longer file is noticed and the buffer never grows.
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut length = 0;
    loop {
        let count = file.read(bytes.get_mut(length..).unwrap_or_default())?;
        length += count;
        if count == 0 {
            break;
        }
    }
    if length > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    bytes.truncate(length);
    Ok(Secret(bytes))
}

/// The same of a regular file alone: anything else, such as a pipe, would be waited for.
///
/// # Errors
/// When it is none, cannot be read or is longer.
pub fn read_regular(path: &Path, limit: usize) -> io::Result<Secret> {
    if path.metadata()?.is_file() {
        read_file(path, limit)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// What a program prints on its standard output.
///
/// # Errors
/// When it cannot be started, fails, or takes longer than a person waits.
pub fn printed(argv: &[String]) -> Result<Secret, String> {
    let program = argv.first().cloned().unwrap_or_default();
    // A variable of the daemon may be another secret, so the program gets none that it does not need.
    let mut command = guard::program(program, Limits::default());
    command.args(argv.iter().skip(1));
    let ended = process::run(
        &mut command,
        Input::Nothing,
        Stderr::Collect,
        COMMAND_DEADLINE,
        &|| false,
    )
    .map_err(|error| error.to_string())?;
    if ended.status.success() {
        Ok(Secret::from(ended.stdout))
    } else {
        Err(ended.status.to_string())
    }
}

/// Reads a secret that others outside of this machine know, too: a line of a file.
pub fn read_shared(path: &Path) -> Result<Secret, Failure> {
    let failed = |why: String| {
        Failure::new(
            code::TCP_UNUSABLE,
            format!("the secret in `{}` cannot be used: {why}", path.display()),
            "write a random one, for example with `openssl rand -hex 32`, into a file of the daemon's user with mode 0600",
        )
    };
    let found = read_regular(path, LONGEST_SHARED)
        .map_err(|error| failed(error.to_string()))?
        .without_newline();
    if found.bytes().len() < SHORTEST_SHARED {
        return Err(failed(format!(
            "it is shorter than {SHORTEST_SHARED} bytes"
        )));
    }
    Ok(found)
}

/// Reads a line that [`to_line`] wrote.
///
/// # Errors
/// When it is another message. The error shows nothing of it.
pub fn from_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(line).map_err(|_| serde_json::Error::custom("it is no such message"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_secret_comes_back_from_a_line_and_shows_nothing() {
        let secret = Secret::from(b"\x00key \"\\\xff".to_vec());
        let line = to_line(&secret).unwrap();
        assert_eq!(line.len(), line.capacity());
        let mut input = std::io::Cursor::new(line.to_vec());
        let read = read_line(&mut input, 1 << 20).unwrap();
        assert_eq!(from_line::<Secret>(&read).unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "Secret");
        let error = from_line::<Secret>(b"\"hunter2\"").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
