//! The fingerprint of a prompt: hashes by which two turns of a conversation are compared, and no text.

use std::{
    hash::{BuildHasher as _, Hasher as _},
    sync::LazyLock,
};

use foldhash::fast::FixedState;
use memchr::memmem::Finder;

use crate::body::peek::PeekedBody;

/// The bytes of a block; where two prompts differ is told to within one.
pub(crate) const BLOCK: usize = 256;
/// The most blocks of a prompt that are kept (4 MB); pieces behind them are compared as a whole.
const MOST_BLOCKS: usize = 16 * 1024;
/// The most messages of a prompt that are kept; later ones are not compared.
const MOST_MESSAGES: usize = 4096;

/// The key of a message's author, as JSON.
const ROLE: &[u8] = b"\"role\"";
/// The search for it, whose preparation takes longer than the search.
static SEARCH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ROLE));

/// The author of a piece of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PieceKind {
    /// The list of tools.
    Tools,
    System,
    User,
    Assistant,
    Tool,
    Other,
}

/// One message, or the list of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    kind: PieceKind,
    hash: u64,
    /// The number of blocks of all pieces before this one, and its own.
    before: u32,
    blocks: u32,
}

/// The hashes of a prompt: of the list of tools, of each message, and of each block in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pieces: Vec<Piece>,
    blocks: Vec<u32>,
}

/// The place from which on a prompt differs from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Divergence {
    /// The author of the piece in which the prompts differ.
    pub(crate) kind: PieceKind,
    /// The number of the message, beginning with 0; 0 for the list of tools.
    pub(crate) message: usize,
    /// The block of this piece that differs first.
    pub(crate) block: usize,
}

// === impl Fingerprint ===

impl Fingerprint {
    /// Hashes the tools and messages of a chat request.
    pub(crate) fn of(body: &[u8], peek: &PeekedBody) -> Self {
        let mut print = Self::default();
        let tools = peek.raw_bytes(body, "tools").unwrap_or_default();
        print.add(PieceKind::Tools, tools);
        for message in peek.messages(body).take(MOST_MESSAGES) {
            print.add(PieceKind::of(message), message);
        }
        print
    }

    fn add(&mut self, kind: PieceKind, bytes: &[u8]) {
        // Each block is hashed behind those before it, so the last hash is that of the piece.
        let mut hasher = FixedState::with_seed(0).build_hasher();
        let before = self.blocks.len();
        let room = MOST_BLOCKS - before;
        self.blocks.reserve(bytes.len().div_ceil(BLOCK).min(room));
        for block in bytes.chunks(BLOCK) {
            hasher.write(block);
            if self.blocks.len() < MOST_BLOCKS {
                #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
                self.blocks.push(hasher.finish() as u32);
            }
        }
        let count = |blocks: usize| u32::try_from(blocks).unwrap_or(u32::MAX);
        self.pieces.push(Piece {
            kind,
            hash: hasher.finish(),
            before: count(before),
            blocks: count(self.blocks.len() - before),
        });
    }

    /// Returns the place where a prompt differs from this earlier one; `None` where it goes on from it, or
    /// is its beginning.
    pub(crate) fn divergence(&self, later: &Self) -> Option<Divergence> {
        let mut pairs = self.pieces.iter().zip(&later.pieces);
        let at = pairs.position(|(old, new)| old.hash != new.hash)?;
        let (old, new) = (self.blocks_of(at), later.blocks_of(at));
        let same = old.iter().zip(new).take_while(|(old, new)| old == new);
        Some(Divergence {
            kind: later.pieces[at].kind,
            message: at.saturating_sub(1),
            block: same.count(),
        })
    }

    /// Returns the hash of the first message of a user, by which conversations are told apart.
    pub(crate) fn opening(&self) -> Option<u64> {
        let mut pieces = self.pieces.iter();
        pieces
            .find(|piece| piece.kind == PieceKind::User)
            .map(|piece| piece.hash)
    }

    /// Reports whether the prompt goes on from an answer.
    pub(crate) fn is_later_turn(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| piece.kind == PieceKind::Assistant)
    }

    /// Returns the bytes of memory that it takes, about.
    pub(crate) fn size(&self) -> usize {
        self.blocks.len() * size_of::<u32>() + self.pieces.len() * size_of::<Piece>()
    }

    fn blocks_of(&self, at: usize) -> &[u32] {
        let range = self.pieces.get(at).map(|piece| {
            let start = piece.before as usize;
            start..start + piece.blocks as usize
        });
        range
            .and_then(|range| self.blocks.get(range))
            .unwrap_or_default()
    }
}

// === impl PieceKind ===

impl PieceKind {
    /// The author of a message, from the first key `role` in it.
    pub(crate) fn of(message: &[u8]) -> Self {
        let value = SEARCH.find(message).and_then(|at| {
            let rest = message.get(at + ROLE.len()..)?.trim_ascii_start();
            Some(rest.strip_prefix(b":")?.trim_ascii_start())
        });
        let Some(value) = value else {
            return Self::Other;
        };
        let kinds: [(&[u8], Self); 6] = [
            (b"\"user\"", Self::User),
            (b"\"assistant\"", Self::Assistant),
            (b"\"tool\"", Self::Tool),
            (b"\"system\"", Self::System),
            (b"\"developer\"", Self::System),
            (b"\"function\"", Self::Tool),
        ];
        let mut kinds = kinds.iter();
        let found = kinds.find(|(word, _)| value.starts_with(word));
        found.map_or(Self::Other, |(_, kind)| *kind)
    }
}

// === impl Divergence ===

impl Divergence {
    /// The piece in words, such as `the system prompt`.
    pub(crate) fn piece(&self) -> String {
        let number = self.message + 1;
        match self.kind {
            PieceKind::Tools => "the list of tools".to_owned(),
            PieceKind::System if self.message == 0 => "the system prompt".to_owned(),
            PieceKind::System => format!("message {number} (system)"),
            PieceKind::User => format!("message {number} (user)"),
            PieceKind::Assistant => format!("message {number} (assistant)"),
            PieceKind::Tool => format!("message {number} (tool)"),
            PieceKind::Other => format!("message {number}"),
        }
    }

    /// The place in words, such as `the system prompt differs within its first 256 bytes`.
    pub(crate) fn words(&self) -> String {
        let piece = self.piece();
        match self.block {
            0 => format!("{piece} differs within its first {BLOCK} bytes"),
            block => format!(
                "{piece} differs between its bytes {} and {}",
                block * BLOCK,
                (block + 1) * BLOCK
            ),
        }
    }
}
