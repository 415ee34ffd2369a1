//! Owns what is done at a bucket as a whole: a first inspection, its mark, and the copy of the receipt log. Never replaces a mark, and never
//! shortens a copy. The interesting function is [`perform`].
//!
//! Nothing can be appended to an object, so that a copy is a row of objects with [`LINES`] lines each: `receipts-<first line>.jsonl`, of
//! which only the last one is written again. One after the other they are the log.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use bytes::Bytes;
use contract::receipt::MAX_LINE_BYTES;

use super::{InFileSystem, Inspected, Order, PROBE, Reply, Tail, told};
use crate::world::bucket::{Bucket, BucketError, Replaces};
use crate::world::folder::{Folder, PRIVATE_FILE};
use crate::world::receipts::CHECKPOINT_LIMIT;
use crate::world::vault::{LocationBucket, MARK_FILE, Mark, read_mark_in};

/// Lines in an object of a copy: what is written again with a receipt is less than this, and a year has some hundreds of objects.
pub const LINES: u64 = 1_000;

/// No object of a copy is larger.
const LARGEST: u64 = LINES * (MAX_LINE_BYTES as u64 + 1);

/// Objects that are listed of a copy: ten thousand years of a busy log.
const MOST_OBJECTS: usize = 1 << 20;

/// Does what an order says at a bucket.
pub(super) fn perform(site: &LocationBucket, order: &Order) -> Reply {
    let bucket = match Bucket::open(&site.binding, site.handed.as_ref(), site.patience) {
        Ok(bucket) => bucket,
        Err(error) => return Reply::Absent(error.to_string()),
    };
    match order {
        Order::Inspect {
            expected,
            tries_write,
            receipts,
            known,
            ..
        } => {
            let expected = expected.as_ref().filter(|_| *tries_write);
            inspect(&bucket, site, expected, receipts, known)
        }
        Order::Mark { mark, .. } => told(write_mark(&bucket, mark)),
        Order::CopyReceipts {
            expected,
            receipts,
            from,
            tail,
            replaces,
            ..
        } => {
            let copy = Copy {
                bucket: &bucket,
                below: receipts,
                from,
            };
            copy.run(expected.as_ref(), tail.as_ref(), replaces.as_deref())
                .unwrap_or_else(Reply::Failed)
        }
        Order::ReadReceipts {
            receipts,
            into,
            lines,
            ..
        } => told(read_receipts(&bucket, receipts, into, *lines)),
        Order::Resolve { .. } => Reply::Failed("a bucket holds no live data".to_owned()),
    }
}

/// What a bucket that cannot be used is to whoever asked.
fn unusable(error: BucketError) -> Reply {
    match error {
        BucketError::Silent(_) => Reply::Silent,
        BucketError::Unreachable(why) => Reply::Absent(why),
        other => Reply::Failed(other.to_string()),
    }
}

fn key(below: &Path, name: &str) -> String {
    below.join(name).display().to_string()
}

/// Looks at a bucket. Nothing is written unless it is the expected one.
fn inspect(
    bucket: &Bucket,
    site: &LocationBucket,
    expected: Option<&Mark>,
    receipts: &Path,
    known: &[(String, String)],
) -> Reply {
    // The first request tells whether it answers at all.
    if let Err(error) = bucket.head(MARK_FILE) {
        return unusable(error);
    }
    let (mark, mark_problem) = match read_mark_in(bucket) {
        Ok(mark) => (mark, None),
        Err(why) => (None, Some(why)),
    };
    let (checkpoint, checkpoint_problem) = match checkpoint(bucket, receipts) {
        Ok(found) => (found.map(|(note, _)| note), None),
        Err(why) => (None, Some(why)),
    };
    let holds_known = known.iter().any(|(repository, snapshot)| {
        let key = format!("{repository}/snapshots/{snapshot}");
        matches!(bucket.head(&key), Ok(Some(_)))
    });
    let is_expected = expected.is_some() && mark.as_ref() == expected;
    let unwritable = if is_expected {
        probe(bucket).err().map(|error| error.to_string())
    } else {
        None
    };
    let prefix = site.binding.prefix.as_deref().unwrap_or_default();
    Reply::Inspected(Box::new(Inspected {
        folder: None,
        in_file_system: Some(InFileSystem {
            device: site.binding.server(),
            path: Path::new("/").join(prefix),
        }),
        mark,
        mark_problem,
        checkpoint,
        checkpoint_problem,
        holds_known,
        unwritable,
        capacity: None,
    }))
}

fn probe(bucket: &Bucket) -> Result<(), BucketError> {
    let content = [Bytes::from_static(b"seawall")];
    bucket.write(PROBE, &content, &Replaces::Anything, false)?;
    bucket.delete(PROBE)
}

fn write_mark(bucket: &Bucket, mark: &Mark) -> Result<(), String> {
    let mut text = serde_json::to_vec(mark).map_err(|error| error.to_string())?;
    text.push(b'\n');
    match bucket.write(MARK_FILE, &[text.into()], &Replaces::Nothing, false) {
        Ok(_) => Ok(()),
        Err(BucketError::Exists) => match read_mark_in(bucket)? {
            // The first try arrived, and its answer did not.
            Some(found) if found == *mark => Ok(()),
            Some(_) | None => Err(format!("`{MARK_FILE}` is there already")),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// The checkpoint of a copy, and its tag.
fn checkpoint(bucket: &Bucket, below: &Path) -> Result<Option<(String, String)>, String> {
    match bucket.read_tagged(&key(below, "checkpoint"), CHECKPOINT_LIMIT) {
        Ok((note, tag)) => {
            let note = String::from_utf8(note.to_vec()).map_err(|_| "it is not text".to_owned())?;
            Ok(Some((note, tag)))
        }
        Err(BucketError::NotFound) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Brings the objects of a copy here, one after the other, up to the one that has the last of these lines. An object after it may be of
/// a longer log that this one replaced.
fn read_receipts(bucket: &Bucket, below: &Path, into: &Path, lines: u64) -> Result<(), String> {
    let into = Folder::open(into).map_err(|error| error.to_string())?;
    let fill = |file: &mut File| {
        for first in objects_of(lines) {
            let name = name_of(first);
            let content = bucket
                .read(&key(below, &name), LARGEST)
                .map_err(|error| std::io::Error::other(format!("`{name}`: {error}")))?;
            file.write_all(&content)?;
        }
        Ok(())
    };
    into.write_from("receipts.jsonl".as_ref(), PRIVATE_FILE, fill)
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// The first lines of the objects that a log of so many lines has.
fn objects_of(lines: u64) -> impl Iterator<Item = u64> {
    (0..lines.div_ceil(LINES)).map(|object| object * LINES)
}

fn name_of(first: u64) -> String {
    format!("receipts-{first:012}.jsonl")
}

/// The copy of the receipts in a bucket.
struct Copy<'a> {
    bucket: &'a Bucket,
    below: &'a Path,
    /// The folder that holds the lines to copy, and the checkpoint that covers them.
    from: &'a Path,
}

impl Copy<'_> {
    fn run(
        &self,
        expected: Option<&Mark>,
        tail: Option<&Tail>,
        replaces: Option<&str>,
    ) -> Result<Reply, String> {
        if expected.is_some() && read_mark_in(self.bucket)?.as_ref() != expected {
            return Err("the location is not the expected one any more".to_owned());
        }
        let found = checkpoint(self.bucket, self.below)?;
        if found.as_ref().map(|(note, _)| note.as_str()) != replaces {
            return Err("the copy there was changed meanwhile".to_owned());
        }
        if let Some(tail) = tail
            && !(self.is_as_left(&tail.left)? && self.is_complete(tail.line)?)
        {
            return Ok(Reply::CopyChanged);
        }
        let left = self.lines(tail)?;
        // The log before its checkpoint: a reader between the two sees lines that are not covered yet, never too few.
        let from = Folder::open(self.from).map_err(|error| error.to_string())?;
        let note = from
            .read("checkpoint".as_ref(), CHECKPOINT_LIMIT)
            .map_err(|error| error.to_string())?;
        let replaces = found.map_or(Replaces::Nothing, |(_, tag)| Replaces::Tagged(tag));
        self.bucket
            .write(
                &key(self.below, "checkpoint"),
                &[note.into()],
                &replaces,
                false,
            )
            .map_err(|error| error.to_string())?;
        Ok(Reply::Copied(left))
    }

    /// Whether the object that was written last is what it was then: `<name>:<tag>`.
    fn is_as_left(&self, left: &str) -> Result<bool, String> {
        let Some((name, tag)) = left.split_once(':') else {
            return Ok(false);
        };
        let head = self
            .bucket
            .head(&key(self.below, name))
            .map_err(|error| error.to_string())?;
        Ok(head.is_some_and(|head| head.tag == tag))
    }

    /// Whether every object before a line is there: what a person or a rule of the bucket deleted is written again.
    fn is_complete(&self, line: u64) -> Result<bool, String> {
        let listed = self
            .bucket
            .list(&self.below.display().to_string(), MOST_OBJECTS)
            .map_err(|error| error.to_string())?;
        Ok(objects_of(line).all(|first| listed.contains_key(&name_of(first))))
    }

    /// Writes the objects from a line on, and gives what the last one is.
    fn lines(&self, tail: Option<&Tail>) -> Result<String, String> {
        let from = Folder::open(self.from).map_err(|error| error.to_string())?;
        let (mut file, _) = from
            .open_file("receipts.jsonl".as_ref())
            .map_err(|error| error.to_string())?;
        let unread = |error: std::io::Error| format!("the lines to copy cannot be read: {error}");
        file.seek(SeekFrom::Start(tail.map_or(0, |tail| tail.skip)))
            .map_err(unread)?;
        let mut lines = BufReader::new(file);
        let mut first = tail.map_or(0, |tail| tail.line);
        let mut left = String::new();
        loop {
            let object = some_lines(&mut lines).map_err(unread)?;
            if object.is_empty() {
                return Ok(left);
            }
            let name = name_of(first);
            let tag = self
                .bucket
                .write(
                    &key(self.below, &name),
                    &[object.into()],
                    &Replaces::Anything,
                    false,
                )
                .map_err(|error| error.to_string())?;
            left = format!("{name}:{tag}");
            first += LINES;
        }
    }
}

/// The next lines, as many as an object has.
fn some_lines(lines: &mut BufReader<File>) -> std::io::Result<Vec<u8>> {
    let mut object = Vec::new();
    for _ in 0..LINES {
        // No line of the log is longer.
        let mut line = lines.take(MAX_LINE_BYTES as u64 + 1);
        if line.read_until(b'\n', &mut object)? == 0 {
            break;
        }
    }
    Ok(object)
}

/// Where the objects of a copy begin that a line is in, or comes after.
pub const fn object_of(line: u64) -> u64 {
    line / LINES * LINES
}
