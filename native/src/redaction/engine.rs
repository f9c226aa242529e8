//! A request as the rules leave it. What a redacted payload looks like is said in the reference decoder (`redaction.engine`).

use crate::documents::text::{push_int, push_label_double, repair};
use crate::otlp::encode::{push_bytes, push_message};
use crate::otlp::label;
use crate::otlp::limits::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_EXPANDED_BYTES};
use crate::otlp::request::expanded_bytes;
use crate::otlp::schema::{Kind, Message};
use crate::otlp::tags::{any_value, array_value, common, key_value, resource};
use crate::otlp::value::{any, usual_pair, Any};
use crate::otlp::wire::{FieldRange, Fields, Value};
use crate::redaction::entry::{is_nested, last_key, Around};
use crate::redaction::filter::Decision;
use crate::redaction::keys::KnownKeys;
use crate::redaction::rules::{Action, Edit, Rules, MASKED};
use crate::redaction::splice::Splice;

/// Of the keys above a nested entry the last so many bytes count.
const MAX_ABOVE_BYTES: usize = 256;

/// A redacted payload.
pub struct Redacted {
    /// None where nothing changed.
    pub payload: Option<Vec<u8>>,
    pub items: usize,
    pub events: usize,
    /// None where all accepted records are left.
    pub ordinals: Option<Vec<u32>>,
    pub changed: usize,
}

/// One payload's way through the rules.
struct Rewrite<'r> {
    rules: &'r Rules,
    record: Message,
    decisions: std::vec::IntoIter<Decision>,
    known_keys: KnownKeys,
    /// The value rules that may match in the message that is being written.
    suspects: u128,
    /// The key rules that count in it, and those that count outside of records.
    active: u128,
    everywhere: u128,
    /// The keys of the maps around an entry, each with a point, and its own.
    path: Vec<u8>,
    accepted: u32,
    left: Vec<u32>,
    events: usize,
    changed: usize,
    expanded: usize,
}

/// The request of which each record's `decisions` are given, with records of the type `record`.
pub fn rewrite(payload: &[u8], rules: &Rules, record: Message, everywhere: u128, decisions: Vec<Decision>) -> Redacted {
    let mut rewrite = Rewrite {
        rules,
        record,
        left: Vec::with_capacity(decisions.len()),
        decisions: decisions.into_iter(),
        known_keys: KnownKeys::new(),
        suspects: 0,
        active: everywhere,
        everywhere,
        path: Vec::new(),
        accepted: 0,
        events: 0,
        changed: 0,
        expanded: 0,
    };
    let edit = rewrite.request(payload);
    Redacted {
        payload: match edit {
            Edit::Put(new) if new != payload => Some(new),
            _ => None,
        },
        items: rewrite.left.len(),
        events: rewrite.events,
        ordinals: (rewrite.left.len() < rewrite.accepted as usize).then_some(rewrite.left),
        changed: rewrite.changed,
    }
}

/// Fields of a resource's or scope's list that are not children, and what they count for each record.
struct Heads {
    edits: std::vec::IntoIter<Edit>,
    size: usize,
}

impl Rewrite<'_> {
    fn request(&mut self, data: &[u8]) -> Edit {
        let mut splice = Splice::new(data);
        for (place, number, value) in Fields::new(data) {
            match (number, value) {
                (common::RESOURCES, Value::Bytes(message)) => {
                    let edit = self.of_resource(message);
                    splice.edit(place, common::RESOURCES, message, edit);
                }
                _ => self.unknown(&mut splice, place),
            }
        }
        splice.finish()
    }

    fn unknown(&self, splice: &mut Splice<'_>, place: FieldRange) {
        if self.rules.scrubs {
            splice.skip(place);
        }
    }

    /// A ResourceSpans or ResourceLogs.
    fn of_resource(&mut self, data: &[u8]) -> Edit {
        let before = self.changed;
        let mut heads = self.heads(data, Message::Resource);
        let mut splice = Splice::new(data);
        let has_resource = || Fields::new(data).any(|field| matches!(field, (_, common::HEAD, Value::Bytes(_))));
        if !self.rules.add.is_empty() && !has_resource() {
            let added = self.added(b"");
            heads.size += added.len();
            push_bytes(&mut splice.out, common::HEAD, &added);
        }
        let (mut children, mut left) = (0, 0);
        for (place, number, value) in Fields::new(data) {
            match (number, value) {
                (common::CHILDREN, Value::Bytes(message)) => {
                    let (had, edit) = self.of_scope(message, heads.size);
                    children += had;
                    left += usize::from(had > 0 && !matches!(edit, Edit::Drop));
                    splice.edit(place, common::CHILDREN, message, edit);
                }
                (_, value) => {
                    let old = if let Value::Bytes(old) = value { old } else { b"" };
                    splice.edit(place, number, old, heads.edits.next().unwrap_or(Edit::Same));
                }
            }
        }
        if children > 0 && left == 0 {
            self.changed = before;
            return Edit::Drop;
        }
        splice.finish()
    }

    /// A ScopeSpans or ScopeLogs, with the number of its records before. `shared`: bytes of its resource.
    fn of_scope(&mut self, data: &[u8], shared: usize) -> (usize, Edit) {
        let (before, before_left) = (self.changed, self.left.len());
        let mut heads = self.heads(data, Message::Scope);
        let mut splice = Splice::new(data);
        let mut records = 0;
        for (place, number, value) in Fields::new(data) {
            match (number, value) {
                (common::CHILDREN, Value::Bytes(message)) => {
                    records += 1;
                    let edit = self.one_record(message, shared + heads.size);
                    splice.edit(place, common::CHILDREN, message, edit);
                }
                (_, value) => {
                    let old = if let Value::Bytes(old) = value { old } else { b"" };
                    splice.edit(place, number, old, heads.edits.next().unwrap_or(Edit::Same));
                }
            }
        }
        if records > 0 && self.left.len() == before_left {
            self.changed = before;
            return (records, Edit::Drop);
        }
        (records, splice.finish())
    }

    /// What becomes of the fields of `data` but its children.
    fn heads(&mut self, data: &[u8], message_type: Message) -> Heads {
        self.active = self.everywhere;
        let is_head = |field: &(FieldRange, u32, Value<'_>)| matches!(field, (_, common::HEAD, Value::Bytes(_)));
        let last = Fields::new(data).filter(is_head).last().map(|(place, _, _)| place.begin);
        let (mut head_size, mut url_size) = (0, 0);
        let mut edits = Vec::new();
        for (place, number, value) in Fields::new(data) {
            edits.push(match (number, value) {
                (common::CHILDREN, Value::Bytes(_)) => continue,
                (common::HEAD, Value::Bytes(message)) => {
                    self.suspects = self.rules.suspects(message);
                    let mut edit = self.message(message_type, message);
                    if message_type == Message::Resource && last == Some(place.begin) {
                        edit = self.with_added(message, edit);
                    }
                    head_size = length(message, &edit);
                    edit
                }
                (common::SCHEMA_URL, Value::Bytes(url)) => {
                    self.suspects = self.rules.suspects(url);
                    let edit = self.text(url);
                    url_size = length(url, &edit);
                    edit
                }
                _ if self.rules.scrubs => Edit::Drop,
                _ => Edit::Same,
            });
        }
        Heads { edits: edits.into_iter(), size: head_size + url_size }
    }

    fn with_added(&self, resource: &[u8], edit: Edit) -> Edit {
        let added = self.added(resource);
        match edit {
            edit if added.is_empty() => edit,
            Edit::Put(new) => Edit::Put([new, added].concat()),
            _ => Edit::Put([resource, &added].concat()),
        }
    }

    /// The attributes to add to a resource message as it came in.
    fn added(&self, resource: &[u8]) -> Vec<u8> {
        let mut added = Vec::new();
        if self.rules.add.is_empty() {
            return added;
        }
        let pairs = Fields::new(resource).filter_map(|field| match field {
            (_, resource::ATTRIBUTES, Value::Bytes(pair)) => Some(repair(last_key(pair))),
            _ => None,
        });
        let present: Vec<_> = pairs.collect();
        let room = MAX_ATTRIBUTES.saturating_sub(present.len());
        let lacking = self.rules.add.iter().filter(|(key, _)| !present.iter().any(|found| **found == **key));
        for (_, field) in lacking.take(room) {
            added.extend_from_slice(field);
        }
        added
    }

    #[inline]
    fn one_record(&mut self, message: &[u8], shared: usize) -> Edit {
        let decision = self.decisions.next().unwrap_or_default();
        let ordinal = self.accepted;
        self.accepted += u32::from(decision.accepted);
        if !decision.left {
            return Edit::Drop;
        }
        let before = self.changed;
        self.active = decision.active;
        let (rules, message_type) = (self.rules, self.record);
        self.suspects = rules.suspects_in(message, |message| {
            let texts = Fields::new(message).filter_map(|(_, number, value)| {
                match (value, message_type.kind(number, &value)) {
                    (_, Some(Kind::Id(_))) => None,
                    (Value::Bytes(text), Some(_)) => Some(text),
                    _ => None,
                }
            });
            texts.fold(0, |found, text| found | rules.suspects_by_bytes(text))
        });
        let edit = self.message(self.record, message);
        let size = expanded_bytes(length(message, &edit), shared, decision.events);
        self.expanded = self.expanded.saturating_add(size);
        if self.expanded > MAX_EXPANDED_BYTES {
            self.changed = before;
            return Edit::Drop;
        }
        self.left.push(ordinal);
        self.events += decision.events;
        edit
    }

    #[inline]
    fn message(&mut self, message_type: Message, data: &[u8]) -> Edit {
        let mut splice = Splice::new(data);
        for (place, number, value) in Fields::new(data) {
            let Some(kind) = message_type.kind(number, &value) else {
                self.unknown(&mut splice, place);
                continue;
            };
            let Value::Bytes(old) = value else { continue };
            let edit = match kind {
                Kind::Scalar => continue,
                Kind::Text => self.text(old),
                Kind::Id(lengths) if !self.rules.scrubs || lengths.contains(&old.len()) => continue,
                Kind::Id(_) => Edit::Drop,
                Kind::Pair => self.pair(old, 0, Around { message: data, number }),
                Kind::Any => self.any(old, 1),
                Kind::Message(inner) => self.message(inner, old),
            };
            splice.edit(place, number, old, edit);
        }
        splice.finish()
    }

    #[inline(always)]
    fn text(&mut self, raw: &[u8]) -> Edit {
        if self.rules.may_stay(self.suspects, raw.len()) {
            return Edit::Same;
        }
        self.changed_text(raw)
    }

    #[inline(never)]
    fn changed_text(&mut self, raw: &[u8]) -> Edit {
        let edit = self.rules.text(raw, self.suspects);
        self.changed += usize::from(!matches!(edit, Edit::Same));
        edit
    }

    /// A KeyValue whose value has depth `depth` + 1. `path` has the keys above it.
    #[inline]
    fn pair(&mut self, data: &[u8], depth: u32, around: Around<'_>) -> Edit {
        if depth == 0 && self.is_untouched(data) {
            return Edit::Same;
        }
        let key = last_key(data);
        let above = self.path.len();
        self.path.extend_from_slice(key);
        let edit = match self.key_rule(data, key.len(), around) {
            Some(rule) => {
                self.changed += 1;
                self.replaced(data, key, depth, self.rules.keys[rule].action)
            }
            None => self.entry(data, depth),
        };
        self.path.truncate(above);
        edit
    }

    /// The first key rule that concerns an entry, whose key `path` ends in.
    #[inline]
    fn key_rule(&mut self, data: &[u8], key_length: usize, around: Around<'_>) -> Option<usize> {
        let mut active = self.active;
        if active & self.rules.nested != 0 && !is_nested(data) {
            active &= !self.rules.nested;
        }
        loop {
            let rule = self.known_keys.rule(self.rules, &self.path, key_length, active)?;
            let beside = &self.rules.keys[rule].beside;
            if beside.is_empty() || around.has(beside) {
                return Some(rule);
            }
            active &= !(1 << rule);
        }
    }

    /// An entry as nearly all are, of which no rule says anything.
    #[inline(always)]
    fn is_untouched(&mut self, data: &[u8]) -> bool {
        let mut untouched = false;
        let (rules, suspects, known_keys) = (self.rules, self.suspects, &mut self.known_keys);
        let active = self.active & !rules.nested;
        // The value's text is shorter than the entry.
        let read = usual_pair(data, |key, value| {
            untouched = rules.entry_may_stay(suspects, data)
                && !matches!(value, Any::Bool(_))
                && !matches!(value, Any::Double(number) if rules.concern(number))
                && known_keys.rule(rules, key, key.len(), active).is_none();
        });
        read.is_some() && untouched
    }

    fn entry(&mut self, data: &[u8], depth: u32) -> Edit {
        self.path.push(b'.');
        // The part that counts for what is below; the caller's own is put back behind it.
        let above = self.path.len().saturating_sub(MAX_ABOVE_BYTES);
        let below = (above > 0).then(|| self.path[above..].to_vec());
        let whole = below.map(|below| std::mem::replace(&mut self.path, below));
        let edit = self.entry_fields(data, depth);
        if let Some(whole) = whole {
            self.path = whole;
        }
        edit
    }

    fn entry_fields(&mut self, data: &[u8], depth: u32) -> Edit {
        let mut splice = Splice::new(data);
        for (place, number, value) in Fields::new(data) {
            let (old, edit) = match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => (key, self.text(key)),
                (key_value::VALUE, Value::Bytes(message)) => (message, self.any(message, depth + 1)),
                _ => {
                    self.unknown(&mut splice, place);
                    continue;
                }
            };
            if matches!(edit, Edit::Drop) {
                return Edit::Drop;
            }
            splice.edit(place, number, old, edit);
        }
        splice.finish()
    }

    /// An entry that a key rule concerns.
    fn replaced(&mut self, data: &[u8], key: &[u8], depth: u32, action: Action) -> Edit {
        if action == Action::Drop {
            return Edit::Drop;
        }
        let redacted = match self.text(key) {
            Edit::Same => key.to_vec(),
            Edit::Drop => return Edit::Drop,
            Edit::Put(new) => new,
        };
        let mut value = MASKED.to_vec();
        if action == Action::Hash {
            let found = Fields::new(data).filter_map(|field| match field {
                (_, key_value::VALUE, Value::Bytes(message)) => {
                    Some(any(message, depth + 1).map_or((Any::Empty, true), |(value, notes)| (value, notes.too_deep)))
                }
                _ => None,
            });
            let (found, deep) = found.last().unwrap_or((Any::Empty, false));
            let text = if deep { "".into() } else { label::full(found) };
            value.clear();
            self.rules.push_digest(&mut value, text.as_bytes());
        }
        let mut out = Vec::with_capacity(redacted.len() + value.len() + 8);
        push_bytes(&mut out, key_value::KEY, &redacted);
        push_message(&mut out, key_value::VALUE, |out| push_bytes(out, any_value::STRING_VALUE, &value));
        Edit::Put(out)
    }

    /// An AnyValue.
    fn any(&mut self, data: &[u8], depth: u32) -> Edit {
        if depth > MAX_DEPTH {
            if !self.rules.scrubs {
                return Edit::Same;
            }
            self.changed += 1;
            return Edit::Put(Vec::new());
        }
        let mut splice = Splice::new(data);
        for (place, number, value) in Fields::new(data) {
            match (number, value) {
                (any_value::STRING_VALUE | any_value::BYTES_VALUE, Value::Bytes(text)) => {
                    let edit = self.text(text);
                    if matches!(edit, Edit::Drop) {
                        return Edit::Drop;
                    }
                    splice.edit(place, number, text, edit);
                }
                (any_value::ARRAY_VALUE, Value::Bytes(list)) => {
                    let edit = self.elements(list, |this, element| this.any(element, depth + 1));
                    splice.edit(place, number, list, edit);
                }
                (any_value::KVLIST_VALUE, Value::Bytes(map)) => {
                    let around = Around { message: map, number: array_value::VALUES };
                    let edit = self.elements(map, |this, pair| this.pair(pair, depth, around));
                    splice.edit(place, number, map, edit);
                }
                (any_value::INT_VALUE, Value::Varint(_)) | (any_value::DOUBLE_VALUE, Value::Fixed64(_)) => {
                    match self.number(value) {
                        Edit::Same => {}
                        Edit::Drop => return Edit::Drop,
                        Edit::Put(digits) => {
                            splice.skip(place);
                            push_bytes(&mut splice.out, any_value::STRING_VALUE, &digits);
                        }
                    }
                }
                (any_value::BOOL_VALUE, Value::Varint(_)) => {}
                _ => self.unknown(&mut splice, place),
            }
        }
        splice.finish()
    }

    /// The digits that stand for an integer or a double which may not leave as it is.
    #[inline(always)]
    fn number(&mut self, value: Value<'_>) -> Edit {
        let number = match value {
            Value::Varint(int) => int as i64 as f64,
            Value::Fixed64(bits) => f64::from_bits(bits),
            _ => return Edit::Same,
        };
        if !self.rules.concern(number) {
            return Edit::Same;
        }
        let mut digits = Vec::new();
        match value {
            Value::Varint(int) => push_int(&mut digits, int as i64),
            _ => push_label_double(&mut digits, number),
        }
        let edit = self.rules.digits(&digits);
        self.changed += usize::from(!matches!(edit, Edit::Same));
        edit
    }

    /// An ArrayValue or a KeyValueList.
    fn elements(&mut self, data: &[u8], mut edit_element: impl FnMut(&mut Self, &[u8]) -> Edit) -> Edit {
        let mut splice = Splice::new(data);
        for (place, number, value) in Fields::new(data) {
            match (number, value) {
                (array_value::VALUES, Value::Bytes(element)) => {
                    let edit = edit_element(self, element);
                    splice.edit(place, array_value::VALUES, element, edit);
                }
                _ => self.unknown(&mut splice, place),
            }
        }
        splice.finish()
    }
}

fn length(old: &[u8], edit: &Edit) -> usize {
    match edit {
        Edit::Same => old.len(),
        Edit::Drop => 0,
        Edit::Put(new) => new.len(),
    }
}
