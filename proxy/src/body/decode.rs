//! Collects a request body under its cap, decompressed while it streams in.
//!
//! The cap holds for the decoded bytes, so a bomb is refused as soon as it passes it.

use std::io;

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use bytes::{BufMut, Bytes, BytesMut};
use crucible_config::Config;
use futures_util::{Stream, TryStreamExt as _, stream};
use http::{HeaderMap, header};
use http_body::Body;
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use super::pace::{PaceFloor, PacedBody};
use crate::error::{Error, ErrorKind};

/// The most bytes of memory that are reserved for a declared length before its bytes have come.
const RESERVED: usize = 128 * 1024;

/// The base-2 logarithm of the largest window of a zstd frame in bytes: 8 MB, the limit over HTTP (RFC
/// 9659).
const ZSTD_WINDOW: u32 = 23;

/// The compression of a request's body, as its header `Content-Encoding` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// The body is not compressed.
    Identity,
    /// The encodings `gzip` and `x-gzip`.
    Gzip,
    /// The encoding `zstd`, which Codex sends.
    Zstd,
}

// === impl ContentEncoding ===

impl ContentEncoding {
    /// Reads `Content-Encoding`.
    ///
    /// # Errors
    /// `unsupported_media_type` for an unknown encoding, or for more than one.
    pub fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let name = value
            .to_str()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match (name.as_str(), values.next()) {
            ("" | "identity", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("zstd", None) => Ok(Self::Zstd),
            _ => Err(Error::new(
                ErrorKind::UnsupportedMediaType,
                "Content-Encoding must be gzip, zstd or identity",
            )),
        }
    }
}

/// Refuses a declared length over the cap before a byte is read.
///
/// # Errors
/// `body_too_large`.
pub fn check_length(headers: &HeaderMap, cap: usize) -> Result<(), Error> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > cap as u64) {
        return Err(too_large(cap));
    }
    Ok(())
}

/// Collects the decoded body of a request under the configured cap and pace.
///
/// # Errors
/// `unsupported_media_type`, and those of [`collect`].
pub(crate) async fn receive<B>(
    headers: &HeaderMap,
    body: B,
    config: &Config,
) -> Result<Bytes, Error>
where
    B: Body<Data: Send, Error: std::fmt::Display + Send> + Unpin + Send + 'static,
{
    let cap = usize::try_from(config.limits.body).unwrap_or(usize::MAX);
    check_length(headers, cap)?;
    let encoding = ContentEncoding::of(headers)?;
    collect(body, encoding, cap, PaceFloor::of(config)).await
}

/// Returns the pieces of a body that is passed on as it comes, however large it is. A body that stops
/// coming, or comes too slowly, ends with `request_timeout`.
pub(crate) fn passing<B>(
    body: B,
    config: &Config,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static
where
    B: Body<Data: Send, Error: std::fmt::Display + Send> + Unpin + Send + 'static,
{
    pieces(PacedBody::new(body, PaceFloor::of(config)))
}

fn pieces<B>(body: PacedBody<B>) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static
where
    B: Body<Data: Send, Error: std::fmt::Display + Send> + Unpin + Send + 'static,
{
    stream::unfold(
        body,
        |mut body| async move { Some((body.next().await?, body)) },
    )
}

/// Collects and decodes a body of at most `cap` decoded bytes.
///
/// # Errors
/// `body_too_large`, `request_timeout` where it comes too slowly, `invalid_json` for corrupt
/// compression, and `bad_request` for a body that broke off.
pub async fn collect<B>(
    body: B,
    encoding: ContentEncoding,
    cap: usize,
    floor: PaceFloor,
) -> Result<Bytes, Error>
where
    B: Body<Data: Send, Error: std::fmt::Display + Send> + Unpin + Send + 'static,
{
    let body = PacedBody::new(body, floor);
    if encoding == ContentEncoding::Identity {
        return plain(body, cap).await;
    }
    // In a box, since most bodies come as they are.
    Box::pin(decoded(body, encoding, cap)).await
}

/// Collects a compressed body.
async fn decoded<B>(
    body: PacedBody<B>,
    encoding: ContentEncoding,
    cap: usize,
) -> Result<Bytes, Error>
where
    B: Body<Data: Send, Error: std::fmt::Display + Send> + Unpin + Send + 'static,
{
    let pieces = pieces(body).map_err(io::Error::other);
    let reader = StreamReader::new(Box::pin(pieces));
    // A body may be several of them in a row (RFC 1952 section 2.2, RFC 8878 section 3), and nothing
    // else may follow.
    if encoding == ContentEncoding::Gzip {
        let mut members = GzipDecoder::new(reader);
        members.multiple_members(true);
        return read(members, cap).await;
    }
    let mut frames = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(ZSTD_WINDOW)]);
    frames.multiple_members(true);
    read(frames, cap).await
}

async fn plain<B>(mut body: PacedBody<B>, cap: usize) -> Result<Bytes, Error>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    let mut out = BytesMut::new();
    while let Some(data) = body.next().await {
        let data = data?;
        if data.len() > cap - out.len() {
            return Err(too_large(cap));
        }
        if out.is_empty() {
            if body.body().is_end_stream() {
                return Ok(data);
            }
            let rest = usize::try_from(body.body().size_hint().lower()).unwrap_or(cap);
            out.reserve(data.len() + rest.min(RESERVED));
        }
        out.put(data);
    }
    Ok(out.freeze())
}

async fn read<R>(mut reader: R, cap: usize) -> Result<Bytes, Error>
where
    R: tokio::io::AsyncRead + Unpin,
{
    let mut out = BytesMut::new();
    loop {
        out.reserve(16 * 1024);
        match reader.read_buf(&mut out).await {
            Ok(0) => return Ok(out.freeze()),
            Ok(_) if out.len() > cap => return Err(too_large(cap)),
            Ok(_) => {}
            Err(error) => {
                return Err(error.downcast::<Error>().unwrap_or_else(|_| {
                    Error::new(ErrorKind::InvalidJson, "the body's compression is corrupt")
                }));
            }
        }
    }
}

fn too_large(cap: usize) -> Error {
    Error::new(
        ErrorKind::BodyTooLarge,
        format!("the body is larger than {cap} bytes (limits.body)"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
    use http_body_util::Full;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const FLOOR: PaceFloor = PaceFloor {
        silence: Duration::from_secs(30),
        rate: 1000,
    };

    async fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(data).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner().into()
    }

    #[tokio::test]
    async fn compressed_bodies_are_decoded_under_the_cap() {
        let packed = gzip(b"{}").await;
        let out = collect(Full::new(packed), ContentEncoding::Gzip, 2, FLOOR).await;
        assert_eq!(out.unwrap(), "{}");
        let packed = zstd(b"{}").await;
        let out = collect(Full::new(packed), ContentEncoding::Zstd, 2, FLOOR).await;
        assert_eq!(out.unwrap(), "{}");
    }

    async fn zstd(data: &[u8]) -> Bytes {
        let mut encoder = ZstdEncoder::new(Vec::new());
        encoder.write_all(data).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner().into()
    }

    /// A body that comes in pieces of so many bytes.
    fn pieces(
        data: &[u8],
        size: usize,
    ) -> impl Body<Data = Bytes, Error = io::Error> + Send + Unpin + 'static {
        let pieces: Vec<_> = data
            .chunks(size)
            .map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        http_body_util::StreamBody::new(stream::iter(pieces))
    }

    #[tokio::test]
    async fn several_members_are_one_body_however_they_are_cut_and_nothing_else_may_follow() {
        let (first, second) = (br#"{"a": "#, br#""b"}"#);
        let gzips = [gzip(first).await, gzip(second).await];
        let zstds = [zstd(first).await, zstd(second).await];
        let empty = [gzip(b"").await, zstd(b"").await];
        for (encoding, [first, second], empty) in [
            (ContentEncoding::Gzip, &gzips, &empty[0]),
            (ContentEncoding::Zstd, &zstds, &empty[1]),
        ] {
            let both = [&first[..], &second[..]].concat();
            let with_empty = [&first[..], &empty[..], &second[..], &empty[..]].concat();
            for whole in [&both, &with_empty] {
                for size in [1, 2, 3, first.len(), first.len() + 1, whole.len()] {
                    let out = collect(pieces(whole, size), encoding, 10, FLOOR).await;
                    assert_eq!(out.unwrap(), r#"{"a": "b"}"#, "{encoding:?} {size}");
                    let out = collect(pieces(whole, size), encoding, 9, FLOOR).await;
                    assert_eq!(out.unwrap_err().kind, ErrorKind::BodyTooLarge, "{size}");
                }
            }
            let garbage = [&both[..], b"{\"x\": 1}"].concat();
            let half = &both[..both.len() - 1];
            let begun = [&first[..], &second[..4]].concat();
            for broken in [&garbage, half, &begun] {
                for size in [1, 7, first.len(), broken.len()] {
                    let out = collect(pieces(broken, size), encoding, 99, FLOOR).await;
                    let kind = out.map_err(|error| error.kind);
                    assert_eq!(kind, Err(ErrorKind::InvalidJson), "{encoding:?} {size}");
                }
            }
        }
    }

    #[tokio::test]
    async fn bombs_and_corrupt_streams_are_refused() {
        let bomb = gzip(&vec![b' '; 4_000_000]).await;
        assert!(bomb.len() < 10_000);
        let error = collect(Full::new(bomb), ContentEncoding::Gzip, 100_000, FLOOR)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::BodyTooLarge);
        let error = collect(
            Full::new(Bytes::from("no")),
            ContentEncoding::Gzip,
            9,
            FLOOR,
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidJson);
    }

    #[tokio::test]
    async fn the_cap_holds_for_plain_bodies() {
        let body = || Full::new(Bytes::from("{  }"));
        assert!(
            collect(body(), ContentEncoding::Identity, 4, FLOOR)
                .await
                .is_ok()
        );
        let error = collect(body(), ContentEncoding::Identity, 3, FLOOR).await;
        assert_eq!(error.unwrap_err().kind, ErrorKind::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_times_out_and_the_future_is_send() {
        fn send<T: Send>(future: T) -> T {
            future
        }
        for encoding in [ContentEncoding::Identity, ContentEncoding::Gzip] {
            let silent = stream::pending::<Result<http_body::Frame<Bytes>, io::Error>>();
            let body = http_body_util::StreamBody::new(silent);
            let error = send(collect(body, encoding, 9, FLOOR)).await;
            assert_eq!(error.unwrap_err().kind, ErrorKind::RequestTimeout);
        }
    }
}
