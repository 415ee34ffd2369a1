//! Owns access to the objects of a bucket of S3, or of a server that speaks its protocol: list, read, write, delete, each with a deadline
//! of its own. Never creates a bucket, never reads an object whole that is larger than the caller allows, and never decides what is
//! written. The interesting type is [`Bucket`]: one for each binding, for the whole life of the process.

mod binding;
mod credentials;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::{
    Attribute, Attributes, BackoffConfig, Certificate, ClientOptions, Error, GetOptions, GetRange,
    MultipartUpload as _, ObjectStore as _, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::Runtime;

pub use binding::{Addressing, BucketBinding, CredentialVariables, Credentials};
pub use credentials::handed;

use crate::world::secret::{Secret, read_regular};
use crate::world::tls::{self, LARGEST_AUTHORITIES};

/// Bytes that are sent in one request. S3 takes no part below 5 MiB; larger ones are sent again for longer after a fault.
const PART: usize = 16 << 20;

/// Parts of one object that are sent at the same time: one waits for the server while the other is on its way.
const PARTS_AT_ONCE: usize = 2;

/// Bytes a second that a connection moves at the least; a request that is slower is given up.
pub const SLOWEST: u64 = 128 << 10;

/// Threads for requests: they wait for the network, and what they compute are digests of what is sent.
const THREADS: usize = 2;

/// How often a request is repeated at most within its time.
const RETRIES: usize = 10;

/// What a server may add to a message.
const LONGEST_REASON: usize = 400;

/// Variables by which a cloud tells its machines, containers and pods where their role is. They hold addresses, names and paths.
pub const ROLE_VARIABLES: [(&str, AmazonS3ConfigKey); 7] = [
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        AmazonS3ConfigKey::WebIdentityTokenFile,
    ),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    (
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        AmazonS3ConfigKey::MetadataEndpoint,
    ),
];

/// Why a bucket did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketError {
    /// It has no such object.
    NotFound,
    /// It has such an object already, or another one than was expected.
    Exists,
    /// The server cannot be reached, or has no such bucket.
    Unreachable(String),
    /// The server gave no answer for so long.
    Silent(Duration),
    /// The credentials do not suffice.
    Denied(String),
    /// There is no room left.
    Full,
    /// The object has more bytes than any of its kind.
    TooLarge(u64),
    /// More objects than any location has.
    TooMany(usize),
    /// The object is shorter than what was asked for.
    TooShort,
    /// Anything else.
    Failed(String),
}

impl std::fmt::Display for BucketError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => formatter.write_str("there is no such object"),
            Self::Exists => formatter.write_str("another object is there"),
            Self::Unreachable(why) | Self::Denied(why) | Self::Failed(why) => {
                formatter.write_str(why)
            }
            Self::Silent(time) => write!(formatter, "no answer for {} s", time.as_secs()),
            Self::Full => formatter.write_str("it is full"),
            Self::TooLarge(size) => write!(formatter, "it has {size} bytes"),
            Self::TooMany(most) => write!(formatter, "it has more than {most} objects"),
            Self::TooShort => formatter.write_str("it is too short"),
        }
    }
}

/// What may stand at the place that is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaces {
    /// Whatever it is: the name says what the content is.
    Anything,
    /// Nothing.
    Nothing,
    /// The object with this tag, and no other.
    Tagged(String),
}

/// An object as a server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its size in bytes.
    pub size: u64,
    /// What the server calls this content of it.
    pub tag: String,
}

/// One bucket, or what is below a prefix of it.
pub struct Bucket {
    client: AmazonS3,
    binding: BucketBinding,
    patience: Duration,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Bucket")
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

/// The clients of this process: each keeps its connections and its credentials.
static OPEN: Mutex<BTreeMap<String, Arc<Bucket>>> = Mutex::new(BTreeMap::new());

fn runtime() -> Result<&'static Runtime, BucketError> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())
    });
    made.as_ref()
        .map_err(|why| BucketError::Failed(format!("no threads for requests: {why}")))
}

impl Bucket {
    /// The bucket of a binding. Touches nothing yet but its file of authorities.
    pub fn open(
        binding: &BucketBinding,
        handed: Option<&Secret>,
        patience: Duration,
    ) -> Result<Arc<Self>, BucketError> {
        let name = serde_json::to_string(&(binding, patience))
            .map_err(|error| BucketError::Failed(error.to_string()))?;
        let mut all = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get(&name) {
            return Ok(Arc::clone(open));
        }
        let client = client(binding, handed, patience)?;
        let opened = Arc::new(Self {
            client,
            binding: binding.clone(),
            patience,
        });
        all.insert(name, Arc::clone(&opened));
        Ok(opened)
    }

    /// Names below a folder, relative to it, with sizes.
    pub fn list(&self, below: &str, most: usize) -> Result<BTreeMap<String, u64>, BucketError> {
        let folder = self.key(below)?;
        let within = format!("{folder}/");
        runtime()?.block_on(async {
            let (mut found, mut count) = (BTreeMap::new(), 0);
            let mut listed = self.client.list(Some(&folder));
            while let Some(next) = self.within(0, listed.next()).await? {
                let object = next.map_err(|error| self.explain(&error))?;
                // Those that are named twice, or do not belong here, among them: a list must end.
                count += 1;
                if count > most {
                    return Err(BucketError::TooMany(most));
                }
                let Some(name) = object.location.as_ref().strip_prefix(&within) else {
                    continue;
                };
                found.insert(name.to_owned(), object.size);
            }
            Ok(found)
        })
    }

    /// A whole object of at most so many bytes.
    pub fn read(&self, key: &str, most: u64) -> Result<Bytes, BucketError> {
        self.get(key, None, most).map(|(content, _)| content)
    }

    /// The same with its tag.
    pub fn read_tagged(&self, key: &str, most: u64) -> Result<(Bytes, String), BucketError> {
        self.get(key, None, most)
    }

    /// Bytes of an object.
    pub fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        let length = range.end.saturating_sub(range.start);
        let (content, _) = self.get(key, Some(range), length)?;
        if (content.len() as u64) < length {
            return Err(BucketError::TooShort);
        }
        Ok(content)
    }

    fn get(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        most: u64,
    ) -> Result<(Bytes, String), BucketError> {
        let path = self.key(key)?;
        runtime()?.block_on(async {
            let options = GetOptions::new().with_range(range.map(GetRange::Bounded));
            let got = self.within(0, self.client.get_opts(&path, options)).await?;
            let got = got.map_err(|error| self.explain(&error))?;
            let tag = got.meta.e_tag.clone().unwrap_or_default();
            let size = got.range.end.saturating_sub(got.range.start);
            if size > most {
                return Err(BucketError::TooLarge(size));
            }
            let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            let mut pieces = got.into_stream();
            while let Some(piece) = self.within(0, pieces.next()).await? {
                content.extend_from_slice(&piece.map_err(|error| self.explain(&error))?);
                // What a server announces and what it sends are two things.
                if content.len() as u64 > most {
                    return Err(BucketError::TooLarge(content.len() as u64));
                }
            }
            Ok((Bytes::from(content), tag))
        })
    }

    /// What the server says of an object; none when there is none.
    pub fn head(&self, key: &str) -> Result<Option<Head>, BucketError> {
        let path = self.key(key)?;
        runtime()?.block_on(async {
            match self.within(0, self.client.head(&path)).await? {
                Ok(meta) => Ok(Some(Head {
                    size: meta.size,
                    tag: meta.e_tag.unwrap_or_default(),
                })),
                Err(error) => match self.explain(&error) {
                    BucketError::NotFound => Ok(None),
                    other => Err(other),
                },
            }
        })
    }

    /// Writes an object: when this returns, the server has confirmed the whole content by its SHA-256; when it fails, nothing stands under
    /// the name that did not before. Gives its tag.
    pub fn write(
        &self,
        key: &str,
        content: &[Bytes],
        replaces: &Replaces,
        is_pack: bool,
    ) -> Result<String, BucketError> {
        let path = self.key(key)?;
        let mut attributes = Attributes::new();
        if let (true, Some(class)) = (is_pack, &self.binding.pack_storage_class) {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let size: usize = content.iter().map(Bytes::len).sum();
        runtime()?.block_on(async {
            if size > PART && *replaces == Replaces::Anything {
                return self.write_parts(&path, content, attributes).await;
            }
            let mode = match replaces {
                Replaces::Anything => PutMode::Overwrite,
                Replaces::Nothing => PutMode::Create,
                Replaces::Tagged(tag) => PutMode::Update(UpdateVersion {
                    e_tag: Some(tag.clone()),
                    version: None,
                }),
            };
            let options = PutOptions {
                mode,
                attributes,
                ..PutOptions::default()
            };
            let payload: PutPayload = content.iter().cloned().collect();
            let put = self
                .within(size, self.client.put_opts(&path, payload, options))
                .await?;
            put.map(|put| put.e_tag.unwrap_or_default())
                .map_err(|error| self.explain(&error))
        })
    }

    async fn write_parts(
        &self,
        path: &object_store::path::Path,
        content: &[Bytes],
        attributes: Attributes,
    ) -> Result<String, BucketError> {
        let options = PutMultipartOptions {
            attributes,
            ..PutMultipartOptions::default()
        };
        let begun = self
            .within(0, self.client.put_multipart_opts(path, options))
            .await?;
        let mut upload = begun.map_err(|error| self.explain(&error))?;
        let mut sent = futures_util::stream::iter(parts(content).into_iter().map(|part| {
            let size = part.content_length();
            // It takes its number here, in the order of the content.
            (size, upload.put_part(part))
        }))
        .map(|(size, part)| async move { self.within(size, part).await })
        .buffer_unordered(PARTS_AT_ONCE);
        let mut failed = None;
        while let Some(part) = sent.next().await {
            if let Err(error) = part.and_then(|part| part.map_err(|error| self.explain(&error))) {
                failed = Some(error);
                break;
            }
        }
        drop(sent);
        let done = match failed {
            Some(error) => Err(error),
            None => match self.within(0, upload.complete()).await {
                Ok(done) => done
                    .map(|put| put.e_tag.unwrap_or_default())
                    .map_err(|error| self.explain(&error)),
                Err(error) => Err(error),
            },
        };
        if done.is_err() {
            // What stays if this fails, too, is removed by the bucket's own rule for uploads that were never finished.
            let _ = self.within(0, upload.abort()).await;
        }
        done
    }

    /// Deletes an object. One that is not there is deleted.
    pub fn delete(&self, key: &str) -> Result<(), BucketError> {
        let path = self.key(key)?;
        let deleted = runtime()?.block_on(self.within(0, self.client.delete(&path)))?;
        match deleted.map_err(|error| self.explain(&error)) {
            Ok(()) | Err(BucketError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn key(&self, below: &str) -> Result<object_store::path::Path, BucketError> {
        let key = match &self.binding.prefix {
            Some(prefix) => format!("{prefix}/{below}"),
            None => below.to_owned(),
        };
        object_store::path::Path::parse(key).map_err(|error| BucketError::Failed(error.to_string()))
    }

    /// No answer is waited for longer than the patience, and what sending so many bytes takes.
    async fn within<T>(
        &self,
        bytes: usize,
        work: impl Future<Output = T>,
    ) -> Result<T, BucketError> {
        let limit = self
            .patience
            .saturating_add(Duration::from_secs(bytes as u64 / SLOWEST));
        tokio::time::timeout(limit, work)
            .await
            .map_err(|_| BucketError::Silent(limit))
    }

    fn explain(&self, error: &Error) -> BucketError {
        let said = reason(error);
        // The name of an object holds any digits, and that of a host any word.
        let words = said.split_whitespace();
        let words: Vec<&str> = words.filter(|word| !word.contains("://")).collect();
        let text = words.join(" ");
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
        match error {
            _ if says(&["NoSuchBucket"]) => {
                BucketError::Unreachable(format!("bucket `{}` does not exist", self.binding.bucket))
            }
            Error::NotFound { .. } => BucketError::NotFound,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => BucketError::Exists,
            Error::PermissionDenied { .. } => {
                BucketError::Denied(format!("the credentials lack a right: {said}"))
            }
            // Ours: there are none.
            Error::Unauthenticated { source, path } if path == credentials::NONE => {
                BucketError::Denied(format!("there are no credentials: {source}"))
            }
            Error::Unauthenticated { .. } => {
                BucketError::Denied(format!("the credentials are not accepted: {said}"))
            }
            _ if says(&["QuotaExceeded", "StorageFull", "status code: 507"]) => BucketError::Full,
            _ if says(&["InvalidRange", "status code: 416"]) => BucketError::TooShort,
            _ if says(&["timed out"]) => BucketError::Silent(self.patience),
            // A server that is overloaded, and a connection that breaks, say nothing of an object.
            _ if says(&["status code: 4"]) && !says(&["status code: 429"]) => {
                BucketError::Failed(said)
            }
            _ => BucketError::Unreachable(said),
        }
    }
}

/// Content in pieces of equal size; the last one may be smaller.
fn parts(content: &[Bytes]) -> Vec<PutPayload> {
    let mut all = Vec::new();
    let (mut part, mut length) = (Vec::new(), 0);
    for piece in content {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            let taken = rest.split_to(rest.len().min(PART - length));
            length += taken.len();
            part.push(taken);
            if length == PART {
                all.push(std::mem::take(&mut part).into_iter().collect());
                length = 0;
            }
        }
    }
    if !part.is_empty() {
        all.push(part.into_iter().collect());
    }
    all
}

/// The error and its causes on one line. A server's words are foreign: they are cut, and hold nothing that moves a terminal.
fn reason(error: &Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said.push_str(": ");
            said.push_str(&more);
        }
        cause = error.source();
    }
    let plain: String = said
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut line = words.join(" ");
    // The library's own settings help nobody.
    if let Some(rest) = line.strip_prefix("Generic S3 error: ") {
        line = rest.to_owned();
    }
    if let Some((before, after)) = line.split_once(", max_retries: ")
        && let Some((_, after)) = after.split_once(" - ")
    {
        line = format!("{before}: {after}");
    }
    if let Some((end, _)) = line.char_indices().nth(LONGEST_REASON) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn client(
    binding: &BucketBinding,
    handed: Option<&Secret>,
    patience: Duration,
) -> Result<AmazonS3, BucketError> {
    tls::install();
    let mut options = ClientOptions::new()
        .with_user_agent(hyper::http::HeaderValue::from_static(concat!(
            "seawalld/",
            env!("CARGO_PKG_VERSION")
        )))
        .with_allow_http(true)
        .with_timeout_disabled()
        .with_connect_timeout(patience)
        // It would count while a part is sent. Each wait for an answer or a piece of one has a limit of its own.
        .with_read_timeout_disabled();
    if let Some(path) = &binding.ca_file {
        options = options.with_no_system_certificates(true);
        for authority in authorities(path)? {
            options = options.with_root_certificate(authority);
        }
    }
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES,
        // The rest is for the last try.
        retry_timeout: patience / 2,
    };
    let mut builder = AmazonS3Builder::new()
        .with_region(&binding.region)
        .with_bucket_name(&binding.bucket)
        .with_virtual_hosted_style_request(binding.is_virtual_host())
        .with_checksum_algorithm(Checksum::SHA256)
        .with_client_options(options)
        .with_retry(retry)
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &binding.endpoint {
        let endpoint = endpoint.trim_end_matches('/');
        builder = builder.with_endpoint(match endpoint.split_once("://") {
            Some((scheme, host)) if binding.is_virtual_host() => {
                format!("{scheme}://{}.{host}", binding.bucket)
            }
            Some(_) | None => endpoint.to_owned(),
        });
    }
    builder = match &binding.credentials {
        Credentials::InstanceRole => {
            ROLE_VARIABLES
                .into_iter()
                .fold(builder, |builder, (name, key)| match std::env::var(name) {
                    Ok(value) => builder.with_config(key, value),
                    Err(_) => builder,
                })
        }
        other => builder.with_credentials(Arc::new(credentials::Provider::new(
            other.clone(),
            handed.cloned(),
        ))),
    };
    builder
        .build()
        .map_err(|error| BucketError::Failed(reason(&error)))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, BucketError> {
    let unusable =
        |why: String| BucketError::Failed(format!("`{}` cannot be used: {why}", path.display()));
    let found =
        read_regular(path, LARGEST_AUTHORITIES).map_err(|error| unusable(error.to_string()))?;
    match Certificate::from_pem_bundle(found.bytes()) {
        Ok(all) if all.is_empty() => Err(unusable("it holds no certificate".to_owned())),
        Ok(all) => Ok(all),
        Err(error) => Err(unusable(reason(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_sent_in_parts_of_one_size() {
        let pieces = [
            Bytes::from(vec![1; 10]),
            Bytes::from(vec![2; 2 * PART]),
            Bytes::from(vec![3; PART - 9]),
        ];
        let sizes: Vec<usize> = parts(&pieces)
            .iter()
            .map(PutPayload::content_length)
            .collect();
        assert_eq!(sizes, [PART, PART, PART, 1]);
    }
}
