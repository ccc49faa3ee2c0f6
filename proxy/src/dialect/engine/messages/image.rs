//! Images in messages: base64 in any of the spellings that clients use becomes plain base64, and the
//! first bytes name the kind of the image.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The number of base64 characters that are decoded to recognise the kind.
const HEAD: usize = 24;

/// An image that came with its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MessageImage<'a> {
    /// The bytes in base64 of the standard alphabet, padded, without blanks.
    pub(crate) base64: Cow<'a, str>,
    /// The kind of the image, by its first bytes.
    pub(crate) kind: ImageKind,
}

/// The kind of an image by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageKind {
    Jpeg,
    Png,
    Webp,
    /// Another known kind, which not every engine takes.
    Other(&'static str),
    /// An unknown kind that the client declares as one of the first three, or does not declare.
    Claimed,
    /// An unknown kind that the client declares as something else.
    Unknown,
}

/// The reasons why a URL holds no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageError {
    /// The URL is an address that somebody would have to fetch.
    Address,
    /// The URL holds no base64.
    Encoding,
}

// === impl MessageImage ===

impl<'a> MessageImage<'a> {
    /// Reads a data URL, or bare base64.
    pub(crate) fn of(url: &'a str) -> Result<Self, ImageError> {
        let url = url.trim();
        let Some(rest) = strip_scheme(url, "data:") else {
            let address = url.split_once("://").is_some_and(|(scheme, _)| {
                !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
            });
            if address {
                return Err(ImageError::Address);
            }
            let base64 = clean(url)?;
            let kind = ImageKind::of(&base64).ok_or(ImageError::Encoding)?;
            return Ok(Self { base64, kind });
        };
        let (head, data) = rest.split_once(',').ok_or(ImageError::Encoding)?;
        let mut parts = head.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        if !parts.any(|part| part.eq_ignore_ascii_case("base64")) {
            return Err(ImageError::Encoding);
        }
        let base64 = clean(data)?;
        let kind = ImageKind::of(&base64).unwrap_or(match &*media {
            "" | "image/jpeg" | "image/jpg" | "image/png" | "image/webp" => ImageKind::Claimed,
            _ => ImageKind::Unknown,
        });
        Ok(Self { base64, kind })
    }

    /// Returns the data URL that every engine knows; `None` where the bytes do not prove the kind.
    pub(crate) fn url(&self) -> Option<String> {
        let media = match self.kind {
            ImageKind::Jpeg => "jpeg",
            ImageKind::Png => "png",
            ImageKind::Webp => "webp",
            ImageKind::Other(_) | ImageKind::Claimed | ImageKind::Unknown => return None,
        };
        Some(format!("data:image/{media};base64,{}", self.base64))
    }
}

// === impl ImageKind ===

impl ImageKind {
    /// Recognises the kind by the first bytes; `None` where they are of no known kind.
    fn of(base64: &str) -> Option<Self> {
        let head = base64.get(..HEAD.min(base64.len()))?;
        let bytes = BASE64_STANDARD.decode(head).ok()?;
        let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
        Some(match &*bytes {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', ..] => Self::Png,
            _ if webp => Self::Webp,
            [b'G', b'I', b'F', b'8', ..] => Self::Other("GIF"),
            [b'B', b'M', ..] => Self::Other("BMP"),
            [b'<', b's', b'v', b'g', ..] | [b'<', b'?', b'x', b'm', b'l', ..] => Self::Other("SVG"),
            [b'%', b'P', b'D', b'F', ..] => Self::Other("PDF"),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Self::Other("TIFF"),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Self::Other("HEIC or AVIF"),
            _ => return None,
        })
    }
}

/// Returns the text behind a scheme, which may be written in any case.
pub(crate) fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = url.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Returns base64 without blanks and percent escapes, in the standard alphabet, padded.
fn clean(data: &str) -> Result<Cow<'_, str>, ImageError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let body = data.trim_end_matches('=');
    if body.is_empty() {
        return Err(ImageError::Encoding);
    }
    if data.len().is_multiple_of(4) && data.len() - body.len() <= 2 && body.bytes().all(is_plain) {
        return Ok(data.into());
    }
    let mut clean = String::with_capacity(data.len() + 4);
    let mut bytes = data.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let code = digit().and_then(|high| Some(high * 16 + digit()?));
            code.and_then(|code| u8::try_from(code).ok())
                .ok_or(ImageError::Encoding)?
        } else {
            byte
        };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'=' => {}
            b'-' => clean.push('+'),
            b'_' => clean.push('/'),
            _ if is_plain(byte) => clean.push(char::from(byte)),
            _ => return Err(ImageError::Encoding),
        }
    }
    match clean.len() % 4 {
        0 => {}
        2 => clean.push_str("=="),
        3 => clean.push('='),
        _ => return Err(ImageError::Encoding),
    }
    if clean.is_empty() {
        return Err(ImageError::Encoding);
    }
    Ok(clean.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginnings of real files.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
    const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBD";
    const WEBP: &str = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCd";
    const GIF: &str = "R0lGODlhAQABAIAAAAUEBAAAACwAAAAA";

    #[test]
    fn every_spelling_of_the_same_image_is_read() {
        let escaped = JPEG.replace('/', "%2F");
        let safe = JPEG.replace('/', "_");
        let broken = format!("{}\r\n{} {}", &PNG[..5], &PNG[5..20], &PNG[20..]);
        let png = |url: String| (url, PNG, ImageKind::Png);
        let jpeg = |url: String| (url, JPEG, ImageKind::Jpeg);
        for (url, base64, kind) in [
            png(format!("data:image/png;base64,{PNG}")),
            png(format!("data:image/png;charset=utf-8;base64,{PNG}")),
            png(format!("DATA:IMAGE/PNG;BASE64,{PNG}")),
            png(format!("Data:Image/Png; Base64,{PNG}")),
            png(format!("data:application/octet-stream;base64,{PNG}")),
            (
                format!("data:binary/octet-stream;base64,{WEBP}"),
                WEBP,
                ImageKind::Webp,
            ),
            jpeg(format!("data:;base64,{JPEG}")),
            jpeg(format!("data:image/jpg;base64,{JPEG}")),
            // What the bytes are counts, not what they are called.
            jpeg(format!("data:image/png;base64,{JPEG}")),
            jpeg(format!("data:image/jpeg;base64,{escaped}")),
            jpeg(format!("data:image/jpeg;base64,{safe}")),
            png(format!("data:image/png;base64,{broken}")),
            png(format!(" {PNG}\n")),
            jpeg(JPEG.to_owned()),
            (
                format!("data:image/gif;base64,{GIF}"),
                GIF,
                ImageKind::Other("GIF"),
            ),
            (
                "data:image/png;base64,QUJD".to_owned(),
                "QUJD",
                ImageKind::Claimed,
            ),
            (
                "data:image/png;base64,QQ".to_owned(),
                "QQ==",
                ImageKind::Claimed,
            ),
            (
                "data:text/plain;base64,QUJD".to_owned(),
                "QUJD",
                ImageKind::Unknown,
            ),
        ] {
            let image = MessageImage::of(&url).unwrap();
            assert_eq!((&*image.base64, image.kind), (base64, kind), "{url}");
        }
    }

    #[test]
    fn what_is_no_image_says_why() {
        for (url, why) in [
            ("http://host/x.png", ImageError::Address),
            ("HTTPS://host/x.png", ImageError::Address),
            ("file:///x.png", ImageError::Address),
            ("", ImageError::Encoding),
            ("data:", ImageError::Encoding),
            ("data:image/png;base64", ImageError::Encoding),
            ("data:image/png;base64,", ImageError::Encoding),
            ("data:image/png,%89PNG", ImageError::Encoding),
            ("data:image/png;base64,QUJ!", ImageError::Encoding),
            ("data:image/png;base64,Q", ImageError::Encoding),
            ("data:image/png;base64,%4", ImageError::Encoding),
            ("a picture", ImageError::Encoding),
            ("QUJDREVGR0g=", ImageError::Encoding),
        ] {
            assert_eq!(MessageImage::of(url).unwrap_err(), why, "{url}");
        }
    }
}
