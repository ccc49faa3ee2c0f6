//! The names of one request's tools: those of the client, and those under which an engine knows them.
//!
//! A tool of a namespace is known to the engine by one joined name, because the chat format has no
//! namespaces: `close_agent` of `multi_agent_v1` is `multi_agent_v1__close_agent`. The name follows
//! from the two alone, so that it is the same on every turn, whatever other tools are offered; only
//! where it is taken, too long or not of the letters that engines take, a hash of the two is in it.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    fmt::Write as _,
};

/// The longest name of a function that the chat format has.
const LONGEST: usize = 64;

/// A tool as the client named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientTool {
    /// The name within its namespace.
    pub(super) name: String,
    /// The namespace, where it has one.
    pub(super) namespace: Option<String>,
    /// Whether it takes a text instead of arguments.
    pub(super) custom: bool,
}

/// The names of all tools of one request, in both directions.
#[derive(Debug, Default)]
pub(super) struct ToolNames {
    /// The client's tools by the engine's name.
    tools: HashMap<String, ClientTool>,
    /// The engine's names of tools in a namespace whose joined name was taken.
    moved: HashMap<(String, String), String>,
    /// The engine's name of each bare name in a namespace; `None` for one of several namespaces.
    bare: HashMap<String, Option<String>>,
}

// === impl ToolNames ===

impl ToolNames {
    /// Adds a tool, and returns the engine's name of it. Tools without a namespace are added first,
    /// because their names cannot move.
    pub(super) fn add(&mut self, tool: ClientTool) -> String {
        let chat = match &tool.namespace {
            None => tool.name.clone(),
            Some(namespace) => {
                let chat = self.free(namespace, &tool.name);
                self.bare
                    .entry(tool.name.clone())
                    .and_modify(|known| *known = None)
                    .or_insert_with(|| Some(chat.clone()));
                chat
            }
        };
        if let Entry::Vacant(place) = self.tools.entry(chat.clone()) {
            place.insert(tool);
        }
        chat
    }

    /// Returns the engine's name of a tool, also of one that is not offered any more.
    pub(super) fn chat_name<'a>(&self, namespace: Option<&str>, name: &'a str) -> Cow<'a, str> {
        let Some(namespace) = namespace else {
            return name.into();
        };
        let moved = self.moved.get(&(namespace.to_owned(), name.to_owned()));
        moved
            .map_or_else(|| joined(namespace, name), Clone::clone)
            .into()
    }

    /// Returns the client's tool of an engine's name. Models shorten names, so a bare name that only
    /// one namespace has is taken for that tool.
    pub(super) fn tool(&self, chat: &str) -> Option<&ClientTool> {
        self.tools.get(chat).or_else(|| {
            let chat = self.bare.get(chat)?.as_ref()?;
            self.tools.get(chat)
        })
    }

    /// Reports whether a tool of this engine's name is offered.
    pub(super) fn is_offered(&self, chat: &str) -> bool {
        self.tools.contains_key(chat)
    }

    /// Returns the engine's names of all tools of a namespace, in the order of the alphabet.
    pub(super) fn of_namespace(&self, namespace: &str) -> Vec<&str> {
        let tools = self.tools.iter();
        let mut names: Vec<&str> = tools
            .filter(|(_, tool)| tool.namespace.as_deref() == Some(namespace))
            .map(|(chat, _)| &**chat)
            .collect();
        names.sort_unstable();
        names
    }

    /// Returns a name that no other tool has.
    fn free(&mut self, namespace: &str, name: &str) -> String {
        let plain = joined(namespace, name);
        let is_free = |chat: &str| match self.tools.get(chat) {
            None => true,
            // Offered twice, and so one tool.
            Some(tool) => tool.name == name && tool.namespace.as_deref() == Some(namespace),
        };
        if is_free(&plain) {
            return plain;
        }
        let mut salt = 0;
        let chat = loop {
            let chat = hashed(namespace, name, salt);
            if is_free(&chat) {
                break chat;
            }
            salt += 1;
        };
        let tool = (namespace.to_owned(), name.to_owned());
        self.moved.insert(tool, chat.clone());
        chat
    }
}

/// Returns the engine's name of a tool in a namespace.
fn joined(namespace: &str, name: &str) -> String {
    let plain = format!("{namespace}__{name}");
    if plain.len() <= LONGEST && plain.bytes().all(is_letter) {
        plain
    } else {
        hashed(namespace, name, 0)
    }
}

/// Returns a name of the letters that engines take, with a hash in it.
fn hashed(namespace: &str, name: &str, salt: u32) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let salt = salt.to_le_bytes();
    let bytes = namespace.bytes().chain([0]).chain(name.bytes());
    // FNV-1a, which is the same in every version of Crucible and of Rust.
    for byte in bytes.chain(salt) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let letters = format!("{namespace}__{name}");
    let mut chat: String = letters
        .chars()
        .map(|letter| match u8::try_from(letter) {
            Ok(byte) if is_letter(byte) => letter,
            _ => '_',
        })
        .take(LONGEST - 9)
        .collect();
    // Writing to a string cannot fail.
    let _ = write!(chat, "_{hash:08x}");
    chat
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(namespace: Option<&str>, name: &str) -> ClientTool {
        ClientTool {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            custom: false,
        }
    }

    #[test]
    fn a_joined_name_leads_back_to_its_tool() {
        let mut names = ToolNames::default();
        let long = "n".repeat(80);
        for (namespace, name, chat) in [
            (None, "exec", "exec"),
            (Some("agents"), "close", "agents__close"),
            (Some("mcp.files"), "read", "mcp_files__read_"),
            (Some(&*long), "read", "nnnnnnnn"),
        ] {
            let tool = tool(namespace, name);
            let given = names.add(tool.clone());
            assert!(given.starts_with(chat) && given.len() <= LONGEST, "{given}");
            assert_eq!(names.tool(&given), Some(&tool));
            assert_eq!(names.chat_name(namespace, name), given);
            // Without the tool, as in a request that offers none any more.
            assert_eq!(ToolNames::default().chat_name(namespace, name), given);
        }
        assert_eq!(names.of_namespace("agents"), ["agents__close"]);
    }

    #[test]
    fn no_two_tools_have_one_name() {
        let mut names = ToolNames::default();
        let all = [
            tool(None, "a__b"),
            tool(Some("a"), "b"),
            tool(Some("a__b"), "c"),
            tool(Some("a"), "b__c"),
        ];
        let given: Vec<String> = all.iter().map(|tool| names.add(tool.clone())).collect();
        for (tool, chat) in all.iter().zip(&given) {
            assert_eq!(names.tool(chat), Some(tool));
            assert_eq!(
                &names.chat_name(tool.namespace.as_deref(), &tool.name),
                chat
            );
        }
        assert_eq!(names.add(tool(Some("a"), "b")), given[1]);
    }

    #[test]
    fn a_bare_name_is_understood_where_only_one_tool_has_it() {
        let mut names = ToolNames::default();
        names.add(tool(None, "read"));
        for (namespace, name) in [("a", "read"), ("a", "write"), ("b", "list"), ("c", "list")] {
            names.add(tool(Some(namespace), name));
        }
        assert_eq!(names.tool("read"), Some(&tool(None, "read")));
        assert_eq!(names.tool("write"), Some(&tool(Some("a"), "write")));
        assert_eq!(names.tool("list"), None);
    }
}
