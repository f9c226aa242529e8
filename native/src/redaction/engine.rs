//! A request as the rules leave it. What a redacted payload looks like is said in the reference decoder (`redaction.engine`).

use crate::documents::text::{push_int, push_label_double, repair};
use crate::otlp::encode::{push_bytes, push_message};
use crate::otlp::label;
use crate::otlp::limits::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_EXPANDED_BYTES};
use crate::otlp::request::expanded_bytes;
use crate::otlp::schema::{Kind, Message};
use crate::otlp::tags::{any_value, array_value, common, key_value, resource};
use crate::otlp::value::{any, plain_elements, usual_column, usual_pair, Any};
use crate::otlp::wire::{FieldRange, Fields, Value};
use crate::redaction::entry::{event_name, form, last_key, Around, Form};
use crate::redaction::filter::Decision;
use crate::redaction::keys::KnownKeys;
use crate::redaction::patches::{Mark, Patches, Spot};
use crate::redaction::rules::{Action, Edit, Rules, MASKED};

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
    patches: Patches,
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
        patches: Patches::default(),
        suspects: 0,
        active: everywhere,
        everywhere,
        path: Vec::new(),
        accepted: 0,
        events: 0,
        changed: 0,
        expanded: 0,
    };
    rewrite.request(payload);
    Redacted {
        payload: (!rewrite.patches.is_empty()).then(|| rewrite.patches.applied(payload)),
        items: rewrite.left.len(),
        events: rewrite.events,
        ordinals: (rewrite.left.len() < rewrite.accepted as usize).then_some(rewrite.left),
        changed: rewrite.changed,
    }
}

impl Rewrite<'_> {
    fn request(&mut self, data: &[u8]) {
        for (place, number, value) in Fields::new(data) {
            match (number, value) {
                (common::RESOURCES, Value::Bytes(content)) => self.of_resource(Spot { place, number, content }),
                _ => self.unknown(place),
            }
        }
    }

    #[inline(always)]
    fn unknown(&mut self, place: FieldRange) {
        if self.rules.scrubs {
            self.patches.skip(place);
        }
    }

    /// A field in which `edit` patches, and says whether it may stay.
    #[inline(always)]
    fn within<'a>(&mut self, spot: Spot<'a>, edit: impl FnOnce(&mut Self, Spot<'a>) -> bool) {
        let mark = self.patches.mark();
        if edit(self, spot) {
            self.patches.close(spot, mark);
        } else {
            self.leave_out(spot, mark);
        }
    }

    fn leave_out(&mut self, spot: Spot<'_>, mark: Mark) {
        self.patches.undo(mark);
        self.patches.skip(spot.place);
    }

    /// A ResourceSpans or ResourceLogs.
    fn of_resource(&mut self, spot: Spot<'_>) {
        let (before, mark) = (self.changed, self.patches.mark());
        let mut shared = 0;
        let has_resource = || spot.fields().any(|field| matches!(field, (_, common::HEAD, Value::Bytes(_))));
        if !self.rules.add.is_empty() && !has_resource() {
            let added = self.added(b"");
            shared += added.len();
            let mut field = Vec::new();
            push_bytes(&mut field, common::HEAD, &added);
            self.patches.insert(spot.begin(), &field);
        }
        shared += self.heads(spot, Message::Resource);
        let (mut children, mut left) = (0, 0);
        for (place, number, value) in spot.fields() {
            if let (common::CHILDREN, Value::Bytes(content)) = (number, value) {
                let (had, stays) = self.of_scope(Spot { place, number, content }, shared);
                children += had;
                left += usize::from(had > 0 && stays);
            }
        }
        if children > 0 && left == 0 {
            self.changed = before;
            return self.leave_out(spot, mark);
        }
        self.patches.close(spot, mark);
    }

    /// A ScopeSpans or ScopeLogs: the number of its records before, and whether it stays. `shared`: bytes of its resource.
    fn of_scope(&mut self, spot: Spot<'_>, shared: usize) -> (usize, bool) {
        let (before, before_left, mark) = (self.changed, self.left.len(), self.patches.mark());
        let shared = shared + self.heads(spot, Message::Scope);
        let mut records = 0;
        for (place, number, value) in spot.fields() {
            if let (common::CHILDREN, Value::Bytes(content)) = (number, value) {
                records += 1;
                self.one_record(Spot { place, number, content }, shared);
            }
        }
        let stays = records == 0 || self.left.len() > before_left;
        if stays {
            self.patches.close(spot, mark);
        } else {
            self.changed = before;
            self.leave_out(spot, mark);
        }
        (records, stays)
    }

    /// The fields of a resource's or scope's list that are not children. What they count for each record.
    fn heads(&mut self, list: Spot<'_>, message_type: Message) -> usize {
        self.active = self.everywhere;
        let is_head = |field: &(FieldRange, u32, Value<'_>)| matches!(field, (_, common::HEAD, Value::Bytes(_)));
        let last = list.fields().filter(is_head).last().map(|(place, _, _)| place.begin);
        let (mut head_size, mut url_size) = (0, 0);
        for (place, number, value) in list.fields() {
            match (number, value) {
                (common::CHILDREN, Value::Bytes(_)) => {}
                (common::HEAD, Value::Bytes(content)) => {
                    self.suspects = self.rules.suspects(content);
                    let (head, mark) = (Spot { place, number, content }, self.patches.mark());
                    self.message(message_type, head);
                    if message_type == Message::Resource && last == Some(place.begin) {
                        let added = self.added(content);
                        if !added.is_empty() {
                            self.patches.insert(place.end, &added);
                        }
                    }
                    head_size = self.patches.length(content.len(), mark);
                    self.patches.close(head, mark);
                }
                (common::SCHEMA_URL, Value::Bytes(content)) => {
                    self.suspects = self.rules.suspects(content);
                    let edit = self.text(content);
                    url_size = length(content, &edit);
                    self.patches.edit(Spot { place, number, content }, edit);
                }
                _ => self.unknown(place),
            }
        }
        head_size + url_size
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
    fn one_record(&mut self, spot: Spot<'_>, shared: usize) {
        let decision = self.decisions.next().unwrap_or_default();
        let ordinal = self.accepted;
        self.accepted += u32::from(decision.accepted);
        if !decision.left {
            return self.patches.skip(spot.place);
        }
        let (before, mark) = (self.changed, self.patches.mark());
        self.active = decision.active;
        let (rules, message_type) = (self.rules, self.record);
        self.suspects = rules.suspects_in(spot.content, |message| {
            let texts = Fields::new(message).filter_map(|(_, number, value)| {
                match (value, message_type.kind(number, &value)) {
                    (_, Some(Kind::Id(_))) => None,
                    (Value::Bytes(text), Some(_)) => Some(text),
                    _ => None,
                }
            });
            texts.fold(0, |found, text| found | rules.suspects_by_bytes(text))
        });
        self.message(self.record, spot);
        let size = expanded_bytes(self.patches.length(spot.content.len(), mark), shared, decision.events);
        self.expanded = self.expanded.saturating_add(size);
        if self.expanded > MAX_EXPANDED_BYTES {
            self.changed = before;
            return self.leave_out(spot, mark);
        }
        self.patches.close(spot, mark);
        self.left.push(ordinal);
        self.events += decision.events;
    }

    #[inline]
    fn message(&mut self, message_type: Message, spot: Spot<'_>) {
        for (place, number, value) in spot.fields() {
            let Some(kind) = message_type.kind(number, &value) else {
                self.unknown(place);
                continue;
            };
            let Value::Bytes(content) = value else { continue };
            let inner = Spot { place, number, content };
            match kind {
                Kind::Scalar => {}
                Kind::Text => {
                    let edit = self.text(content);
                    self.patches.edit(inner, edit);
                }
                Kind::Id(lengths) if !self.rules.scrubs || lengths.contains(&content.len()) => {}
                Kind::Id(_) => self.patches.skip(place),
                Kind::Pair => self.pair(inner, 0, Around { message: spot.content, number }),
                Kind::Any => self.within(inner, |this, inner| this.any(inner, 1)),
                Kind::Message(inner_type) => self.within(inner, |this, inner| {
                    let around = this.active;
                    if inner_type == Message::Event {
                        this.active = this.rules.active_in(event_name(content), this.everywhere);
                    }
                    this.message(inner_type, inner);
                    this.active = around;
                    true
                }),
            }
        }
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
    fn pair(&mut self, spot: Spot<'_>, depth: u32, around: Around<'_>) {
        if depth + 1 < MAX_DEPTH && self.is_untouched(spot.content) {
            return;
        }
        let key = last_key(spot.content);
        let above = self.path.len();
        self.path.extend_from_slice(key);
        match self.key_rule(spot.content, key.len(), around) {
            Some(rule) => {
                self.changed += 1;
                let edit = self.replaced(spot.content, key, depth, self.rules.keys[rule].action);
                self.patches.edit(spot, edit);
            }
            None => self.within(spot, |this, spot| this.entry(spot, depth)),
        }
        self.path.truncate(above);
    }

    /// The first key rule that concerns an entry, whose key `path` ends in.
    #[inline]
    fn key_rule(&mut self, data: &[u8], key_length: usize, around: Around<'_>) -> Option<usize> {
        let mut active = self.active;
        if active & self.rules.nested != 0 {
            active = self.rules.active_for(form(data), active);
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

    /// An entry as nearly all are, of which no rule says anything: of a text, a number, or a list of such.
    #[inline(always)]
    fn is_untouched(&mut self, data: &[u8]) -> bool {
        // Texts in it are shorter than the entry.
        if !self.rules.entry_may_stay(self.suspects, data) {
            return false;
        }
        let mut untouched = false;
        let read = usual_pair(data, |key, value| {
            let active = self.rules.active_for(Form::JsonText, self.active);
            untouched = self.is_small(value) && self.known_rule(key, active).is_none();
        });
        if read.is_some() {
            return untouched;
        }
        let Some((key, list)) = usual_column(data) else { return false };
        let mut all_small = true;
        let read = plain_elements(list, |value| all_small &= self.is_small(value));
        read.is_some() && all_small && self.known_rule(key, self.active).is_none()
    }

    /// Whether a value as nearly all are written is no number of a card; integers are never as long.
    #[inline(always)]
    fn is_small(&self, value: Any<'_>) -> bool {
        !matches!(value, Any::Double(number) if self.rules.concern(number))
    }

    /// The first key rule for an entry with this key below `path`, whatever stands beside it.
    #[inline(always)]
    fn known_rule(&mut self, key: &[u8], active: u128) -> Option<usize> {
        if self.path.is_empty() {
            return self.known_keys.rule(self.rules, key, key.len(), active);
        }
        let above = self.path.len();
        self.path.extend_from_slice(key);
        let rule = self.known_keys.rule(self.rules, &self.path, key.len(), active);
        self.path.truncate(above);
        rule
    }

    /// Whether it may stay.
    fn entry(&mut self, spot: Spot<'_>, depth: u32) -> bool {
        self.path.push(b'.');
        // The part that counts for what is below; the caller's own is put back behind it.
        let above = self.path.len().saturating_sub(MAX_ABOVE_BYTES);
        let below = (above > 0).then(|| self.path[above..].to_vec());
        let whole = below.map(|below| std::mem::replace(&mut self.path, below));
        let stays = self.entry_fields(spot, depth);
        if let Some(whole) = whole {
            self.path = whole;
        }
        stays
    }

    fn entry_fields(&mut self, spot: Spot<'_>, depth: u32) -> bool {
        for (place, number, value) in spot.fields() {
            match (number, value) {
                (key_value::KEY, Value::Bytes(content)) => {
                    let edit = self.text(content);
                    if matches!(edit, Edit::Drop) {
                        return false;
                    }
                    self.patches.edit(Spot { place, number, content }, edit);
                }
                (key_value::VALUE, Value::Bytes(content)) => {
                    let (value, mark) = (Spot { place, number, content }, self.patches.mark());
                    if !self.any(value, depth + 1) {
                        return false;
                    }
                    self.patches.close(value, mark);
                }
                _ => self.unknown(place),
            }
        }
        true
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

    /// An AnyValue. Whether it may stay.
    fn any(&mut self, spot: Spot<'_>, depth: u32) -> bool {
        if depth > MAX_DEPTH {
            if self.rules.scrubs {
                self.changed += 1;
                self.patches.empty(spot);
            }
            return true;
        }
        for (place, number, value) in spot.fields() {
            match (number, value) {
                (any_value::STRING_VALUE | any_value::BYTES_VALUE, Value::Bytes(content)) => {
                    let edit = self.text(content);
                    if matches!(edit, Edit::Drop) {
                        return false;
                    }
                    self.patches.edit(Spot { place, number, content }, edit);
                }
                (any_value::ARRAY_VALUE, Value::Bytes(content)) => {
                    self.elements(Spot { place, number, content }, |this, element| {
                        this.within(element, |this, element| this.any(element, depth + 1));
                    });
                }
                (any_value::KVLIST_VALUE, Value::Bytes(content)) => {
                    let around = Around { message: content, number: array_value::VALUES };
                    self.elements(Spot { place, number, content }, |this, pair| this.pair(pair, depth, around));
                }
                (any_value::INT_VALUE, Value::Varint(_)) | (any_value::DOUBLE_VALUE, Value::Fixed64(_)) => {
                    let edit = self.number(value);
                    if matches!(edit, Edit::Drop) {
                        return false;
                    }
                    self.patches.edit(Spot { place, number: any_value::STRING_VALUE, content: b"" }, edit);
                }
                (any_value::BOOL_VALUE, Value::Varint(_)) => {}
                _ => self.unknown(place),
            }
        }
        true
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
    #[inline(always)]
    fn elements<'a>(&mut self, list: Spot<'a>, mut edit_element: impl FnMut(&mut Self, Spot<'a>)) {
        self.within(list, |this, list| {
            for (place, number, value) in list.fields() {
                match (number, value) {
                    (array_value::VALUES, Value::Bytes(content)) => {
                        edit_element(this, Spot { place, number, content });
                    }
                    _ => this.unknown(place),
                }
            }
            true
        });
    }
}

fn length(old: &[u8], edit: &Edit) -> usize {
    match edit {
        Edit::Same => old.len(),
        Edit::Drop => 0,
        Edit::Put(new) => new.len(),
    }
}
