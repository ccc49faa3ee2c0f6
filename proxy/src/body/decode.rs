//! Collects a request body under its cap, decompressed while it streams in.
//!
//! The cap holds for the decoded bytes, so a bomb is refused as soon as it passes it.

use std::{io, time::Duration};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::TryStreamExt;
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::{BodyDataStream, BodyExt};
use tokio::{io::AsyncReadExt, time::timeout};
use tokio_util::io::StreamReader;

use crate::error::{Error, Kind};

/// Most room made for a declared length before its bytes are there.
const RESERVED: usize = 128 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `zstd` (Codex sends it).
    Zstd,
}

// === impl Encoding ===

impl Encoding {
    /// Reads `Content-Encoding`; anything unknown, or more than one, is
    /// `unsupported_media_type`.
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
                Kind::UnsupportedMediaType,
                "Content-Encoding must be gzip, zstd or identity",
            )),
        }
    }
}

/// Refuses a declared length over the cap before a byte is read.
pub fn check_length(headers: &HeaderMap, cap: usize) -> Result<(), Error> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > cap as u64) {
        return Err(too_large(cap));
    }
    Ok(())
}

/// Collects and decodes a body of at most `cap` decoded bytes.
///
/// Errors: `body_too_large`, `request_timeout` after `progress` without bytes, `invalid_json` for
/// corrupt compression, `bad_request` for a body that broke off.
pub async fn collect<B>(
    body: B,
    encoding: Encoding,
    cap: usize,
    progress: Duration,
) -> Result<Bytes, Error>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    if encoding == Encoding::Identity {
        return plain(body, cap, progress).await;
    }
    let frames = TryStreamExt::map_err(BodyDataStream::new(body), |error: B::Error| {
        io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())
    });
    let reader = StreamReader::new(frames);
    match encoding {
        Encoding::Gzip => read(GzipDecoder::new(reader), cap, progress).await,
        _ => read(ZstdDecoder::new(reader), cap, progress).await,
    }
}

async fn plain<B>(mut body: B, cap: usize, progress: Duration) -> Result<Bytes, Error>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    let mut out = BytesMut::new();
    while let Some(frame) = timeout(progress, body.frame()).await.map_err(|_| slow())? {
        let frame = frame.map_err(|_| cut())?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let length = data.remaining();
        if length > cap - out.len() {
            return Err(too_large(cap));
        }
        if out.is_empty() {
            if body.is_end_stream() {
                return Ok(data.copy_to_bytes(length));
            }
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or(cap);
            out.reserve(length + rest.min(RESERVED));
        }
        out.put(data);
    }
    Ok(out.freeze())
}

async fn read<R>(mut reader: R, cap: usize, progress: Duration) -> Result<Bytes, Error>
where
    R: tokio::io::AsyncRead + Unpin,
{
    let mut out = BytesMut::new();
    loop {
        out.reserve(16 * 1024);
        let read = timeout(progress, reader.read_buf(&mut out))
            .await
            .map_err(|_| slow())?;
        match read {
            Ok(0) => return Ok(out.freeze()),
            Ok(_) if out.len() > cap => return Err(too_large(cap)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(cut()),
            Err(_) => {
                return Err(Error::new(
                    Kind::InvalidJson,
                    "the body's compression is corrupt",
                ));
            }
        }
    }
}

fn too_large(cap: usize) -> Error {
    Error::new(
        Kind::BodyTooLarge,
        format!("the body is larger than {cap} bytes (limits.body)"),
    )
}

fn slow() -> Error {
    Error::new(
        Kind::RequestTimeout,
        "the body stopped coming (timeouts.body)",
    )
}

fn cut() -> Error {
    Error::new(Kind::BadRequest, "the body broke off")
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
    use http_body_util::Full;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const PROGRESS: Duration = Duration::from_secs(30);

    async fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(data).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner().into()
    }

    #[tokio::test]
    async fn compressed_bodies_are_decoded_under_the_cap() {
        let packed = gzip(b"{}").await;
        let out = collect(Full::new(packed), Encoding::Gzip, 2, PROGRESS).await;
        assert_eq!(out.unwrap(), "{}");
        let mut encoder = ZstdEncoder::new(Vec::new());
        encoder.write_all(b"{}").await.unwrap();
        encoder.shutdown().await.unwrap();
        let packed = Bytes::from(encoder.into_inner());
        let out = collect(Full::new(packed), Encoding::Zstd, 2, PROGRESS).await;
        assert_eq!(out.unwrap(), "{}");
    }

    #[tokio::test]
    async fn bombs_and_corrupt_streams_are_refused() {
        let bomb = gzip(&vec![b' '; 4_000_000]).await;
        assert!(bomb.len() < 10_000);
        let error = collect(Full::new(bomb), Encoding::Gzip, 100_000, PROGRESS)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::BodyTooLarge);
        let error = collect(Full::new(Bytes::from("no")), Encoding::Gzip, 9, PROGRESS)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::InvalidJson);
    }

    #[tokio::test]
    async fn the_cap_holds_for_plain_bodies() {
        let body = || Full::new(Bytes::from("{  }"));
        assert!(
            collect(body(), Encoding::Identity, 4, PROGRESS)
                .await
                .is_ok()
        );
        let error = collect(body(), Encoding::Identity, 3, PROGRESS).await;
        assert_eq!(error.unwrap_err().kind, Kind::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_times_out_and_the_future_is_send() {
        fn send<T: Send>(future: T) -> T {
            future
        }
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            let silent =
                futures_util::stream::pending::<Result<http_body::Frame<Bytes>, io::Error>>();
            let body = http_body_util::StreamBody::new(silent);
            let error = send(collect(body, encoding, 9, PROGRESS)).await;
            assert_eq!(error.unwrap_err().kind, Kind::RequestTimeout);
        }
    }
}
