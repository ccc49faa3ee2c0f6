//! The reading of an engine's body to its end, before anything is sent to the client.

use bytes::{Bytes, BytesMut};
use crucible_router::machine::awake::within;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind, UpstreamError};

/// Reads a body of at most `cap` bytes until `deadline`. A body that is longer, stalls or breaks
/// off is an error with a status of its own, since nothing was sent to the client.
pub(crate) async fn collect<B>(mut body: B, cap: usize, deadline: Instant) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    let budget = deadline.saturating_duration_since(Instant::now());
    loop {
        let frame = within(deadline, budget, body.frame()).await;
        let frame = frame.ok_or_else(|| {
            Error::new(
                ErrorKind::ResponseTimeout,
                "the engine did not finish its answer within timeouts.response; raise it, or ask for a stream",
            )
        })?;
        match frame {
            None => return Ok(whole.freeze()),
            Some(Err(_)) => {
                let cut = Error::new(
                    ErrorKind::EngineCut,
                    "the connection to the engine broke during its answer",
                );
                return Err(if whole.is_empty() {
                    cut.upstream(UpstreamError::Reset)
                } else {
                    cut
                });
            }
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                if whole.len() + data.len() > cap {
                    return Err(Error::answer_too_large());
                }
                // Most answers are one frame: it is handed on as it is.
                if whole.is_empty() && body.is_end_stream() {
                    return Ok(data);
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

/// Returns the first `most` bytes of a body, or those that came until `deadline` or an error.
pub(crate) async fn beginning<B>(mut body: B, most: usize, deadline: Instant) -> Bytes
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    while whole.len() < most
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await
    {
        if let Ok(data) = frame.into_data() {
            let left = most - whole.len();
            whole.extend_from_slice(&data[..data.len().min(left)]);
        }
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_a_timeout_and_a_broken_one_is_cut() {
        let one = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("{")))]);
        let stalled = StreamBody::new(one.chain(stream::pending()));
        let error = collect(stalled, 100, soon()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ResponseTimeout);
        let broken = StreamBody::new(stream::iter([
            Ok(Frame::data(Bytes::from("{"))),
            Err(std::io::Error::other("reset")),
        ]));
        let error = collect(broken, 100, soon()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::EngineCut);
    }

    #[tokio::test]
    async fn an_answer_is_handed_on_whole_in_one_frame_or_several() {
        let one = http_body_util::Full::new(Bytes::from_static(b"{}"));
        assert_eq!(collect(one, 2, soon()).await.unwrap(), "{}");
        let two = ["{", "}"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let two = StreamBody::new(stream::iter(two));
        assert_eq!(collect(two, 2, soon()).await.unwrap(), "{}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_long_or_cut_body_the_beginning_is_kept() {
        let long = http_body_util::Full::new(Bytes::from_static(b"0123456789"));
        assert_eq!(beginning(long, 4, soon()).await, "0123");
        let one = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("{")))]);
        let stalled = StreamBody::new(one.chain(stream::pending()));
        assert_eq!(beginning(stalled, 4, soon()).await, "{");
    }

    #[tokio::test]
    async fn an_answer_beyond_the_cap_is_an_error() {
        let body = http_body_util::Full::new(Bytes::from_static(b"0123456789"));
        assert_eq!(
            collect(body, 9, soon()).await.unwrap_err().kind,
            ErrorKind::EngineError
        );
    }
}
