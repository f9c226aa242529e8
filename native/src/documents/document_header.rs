//! The data stream that a document goes to.

use std::borrow::Cow;

use crate::otlp::label;
use crate::otlp::value::Attribute;

const DATASET: &[u8] = b"data_stream.dataset";
const NAMESPACE: &[u8] = b"data_stream.namespace";
const TYPE: &[u8] = b"data_stream.type";
const PREFIX: &[u8] = b"data_stream.";
const SUFFIX: &str = ".otel";
const FIELD_BYTES: usize = 100;

/// A data stream, as the parts of a line pair that name it.
#[derive(Default)]
pub struct Stream {
    /// `{"create":{"_index":"NAME","_id":`
    pub action: Vec<u8>,
    /// `,"data_stream":{...}`
    pub member: Vec<u8>,
    /// The parts are those of a stream that no attribute names.
    unnamed: bool,
}

/// Attributes that name the data stream, and are not part of the document for it.
#[inline(always)]
pub fn is_stream_field(key: &[u8]) -> bool {
    key.starts_with(PREFIX) && (key == DATASET || key == NAMESPACE || key == TYPE)
}

impl Stream {
    #[inline(always)]
    pub fn is_named_by(attributes: &[Attribute<'_>]) -> bool {
        attributes.iter().any(|attribute| is_stream_field(attribute.key))
    }

    /// Type by signal, the same at every call; dataset and namespace from the first of the sources where they are not
    /// empty.
    #[inline]
    pub fn name(&mut self, kind: &str, sources: &[&[Attribute<'_>]]) {
        let unnamed = !sources.iter().any(|source| Self::is_named_by(source));
        if !(unnamed && self.unnamed) {
            self.write(kind, sources);
            self.unnamed = unnamed;
        }
    }

    fn write(&mut self, kind: &str, sources: &[&[Attribute<'_>]]) {
        let dataset = first(sources, DATASET).unwrap_or(Cow::Borrowed("generic"));
        let namespace = first(sources, NAMESPACE).unwrap_or(Cow::Borrowed("default"));
        let dataset = dataset.strip_suffix(SUFFIX).unwrap_or(&dataset);
        let dataset = clean(dataset, false, FIELD_BYTES - SUFFIX.len()) + SUFFIX;
        let namespace = clean(&namespace, true, FIELD_BYTES);
        self.action.clear();
        self.action.extend_from_slice(
            format!("{{\"create\":{{\"_index\":\"{kind}-{dataset}-{namespace}\",\"_id\":").as_bytes(),
        );
        self.member.clear();
        let fields = format!("\"type\":\"{kind}\",\"dataset\":\"{dataset}\",\"namespace\":\"{namespace}\"");
        self.member.extend_from_slice(format!(",\"data_stream\":{{{fields}}}").as_bytes());
    }
}

fn first<'a>(sources: &[&[Attribute<'a>]], name: &[u8]) -> Option<Cow<'a, str>> {
    sources.iter().find_map(|source| {
        let attribute = source.iter().find(|attribute| attribute.key == name)?;
        Some(label::full(attribute.value)).filter(|text| !text.is_empty())
    })
}

/// ASCII lower case, other characters as underscores, at most `limit` of them.
fn clean(name: &str, hyphens: bool, limit: usize) -> String {
    let lower = name.chars().map(|character| character.to_ascii_lowercase());
    lower
        .map(|character| match character {
            'a'..='z' | '0'..='9' | '.' | '_' => character,
            '-' if hyphens => character,
            _ => '_',
        })
        .take(limit)
        .collect()
}
