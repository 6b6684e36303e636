// SPDX-License-Identifier: Apache-2.0
//! D-Bus messages (the D-Bus specification, "Message Protocol"), as far as asking systemd needs them.

/// A value of a unit's property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `b`
    Bool(bool),
    /// `t`
    Number(u64),
    /// `x`
    Signed(i64),
    /// `u`
    Number32(u32),
    /// `i`
    Signed32(i32),
    /// `s`
    Text(String),
    /// `au`
    Pids(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `as`
    Texts(Vec<String>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
    /// `a(st)`
    Rates(Vec<(String, u64)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::Number(_) => "t",
            Self::Signed(_) => "x",
            Self::Number32(_) => "u",
            Self::Signed32(_) => "i",
            Self::Text(_) => "s",
            Self::Pids(_) => "au",
            Self::Bytes(_) => "ay",
            Self::Texts(_) => "as",
            Self::Pairs(_) => "a(ss)",
            Self::Rates(_) => "a(st)",
        }
    }
}

/// A property of a unit.
pub(super) type Property<'n> = (&'n str, Value);

/// Writes values one after the other, each where its type may begin.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn long(&mut self, bytes: [u8; 8]) {
        self.align(8);
        self.0.extend(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements begin at multiples of `alignment`. The space before the first does not count.
    fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Self)) {
        self.number(0);
        let length_at = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        write(self);
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(value) => self.number((*value).into()),
            Value::Number(number) => self.long(number.to_le_bytes()),
            Value::Signed(number) => self.long(number.to_le_bytes()),
            Value::Number32(number) => self.number(*number),
            Value::Signed32(number) => self.number(number.cast_unsigned()),
            Value::Text(text) => self.text(text),
            Value::Pids(pids) => self.numbers(pids),
            Value::Bytes(bytes) => self.array(1, |array| array.0.extend(bytes)),
            Value::Texts(texts) => self.array(4, |array| texts.iter().for_each(|text| array.text(text))),
            Value::Pairs(pairs) => self.array(8, |array| {
                for (one, other) in pairs {
                    array.align(8);
                    array.text(one);
                    array.text(other);
                }
            }),
            Value::Rates(rates) => self.array(8, |array| {
                for (of, rate) in rates {
                    array.align(8);
                    array.text(of);
                    array.long(rate.to_le_bytes());
                }
            }),
        }
    }

    /// `a(sv)`
    pub(super) fn properties(&mut self, properties: &[Property<'_>]) {
        self.array(8, |array| {
            for (name, value) in properties {
                array.align(8);
                array.text(name);
                array.variant(value);
            }
        });
    }

    /// `au`
    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |array| numbers.iter().for_each(|number| array.number(*number)));
    }

    /// An empty `a(sa(sv))`: further units.
    pub(super) fn nothing(&mut self) {
        self.array(8, |_| {});
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.number(value.into());
    }
}

/// A call of a method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// The types of the body.
    pub(super) signature: &'a str,
}

/// The number of a header's field.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

impl Call<'_> {
    /// The whole message.
    pub(super) fn encode(&self, serial: u32, body: Encoder) -> Vec<u8> {
        let mut message = Encoder(vec![b'l', 1, 0, 1]);
        message.number(body.0.len() as u32);
        message.number(serial);
        message.array(8, |fields| {
            for (number, kind, text) in [
                (field::PATH, "o", self.path),
                (field::INTERFACE, "s", self.interface),
                (field::MEMBER, "s", self.member),
                (field::DESTINATION, "s", self.destination),
            ] {
                fields.align(8);
                fields.0.push(number);
                fields.signature(kind);
                fields.text(text);
            }
            if !self.signature.is_empty() {
                fields.align(8);
                fields.0.push(field::SIGNATURE);
                fields.signature("g");
                fields.signature(self.signature);
            }
        });
        message.align(8);
        message.0.extend(body.0);
        message.0
    }
}

/// A message that has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// 2 is an answer, 3 an error, 4 a signal.
    pub(super) kind: u8,
    pub(super) reply_to: Option<u32>,
    pub(super) member: String,
    pub(super) error: String,
    body: Vec<u8>,
}

/// The length of the part of a message that has a length of its own: kind and flags, two numbers, the length of the fields.
pub(super) const PREFIX: usize = 16;

/// How long a message is, from its first [`PREFIX`] bytes; `None` if that is none, or longer than the specification allows.
pub(super) fn length(prefix: &[u8]) -> Option<usize> {
    const MOST: usize = 1 << 27;
    // Who answers writes in the order of bytes that this process does: it runs on the same machine.
    if prefix.first() != Some(&b'l') {
        return None;
    }
    let (body, fields) = (u32_at(prefix, 4)? as usize, u32_at(prefix, 12)? as usize);
    let whole = (PREFIX + fields).next_multiple_of(8) + body;
    (whole <= MOST).then_some(whole)
}

impl Message {
    /// Reads a whole message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields = u32_at(bytes, 12)? as usize;
        let mut message = Self { kind: *bytes.get(1)?, ..Self::default() };
        let mut at = PREFIX;
        while at < PREFIX + fields {
            at = at.next_multiple_of(8);
            let number = *bytes.get(at)?;
            let kind = bytes.get(at + 2)?;
            // The field's number, its type's length, type and zero.
            at += 4;
            match kind {
                b'u' => {
                    let value = u32_at(bytes, at)?;
                    if number == field::REPLY_SERIAL {
                        message.reply_to = Some(value);
                    }
                    at += 4;
                }
                b's' | b'o' => {
                    let text = text_at(bytes, at)?;
                    at += 4 + text.len() + 1;
                    match number {
                        field::MEMBER => message.member = text,
                        field::ERROR_NAME => message.error = text,
                        _ => {}
                    }
                }
                b'g' => at += usize::from(*bytes.get(at)?) + 2,
                _ => return None,
            }
        }
        message.body = bytes.get((PREFIX + fields).next_multiple_of(8)..)?.to_vec();
        Some(message)
    }

    /// The texts of a body that begins with `u` (`skip_number`) and goes on with texts: `s`, `uoss`.
    pub(super) fn texts(&self, skip_number: bool) -> Vec<String> {
        let mut at = if skip_number { 4 } else { 0 };
        let mut texts = Vec::new();
        while let Some(text) = text_at(&self.body, at) {
            at = (at + 4 + text.len() + 1).next_multiple_of(4);
            texts.push(text);
        }
        texts
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text_at(bytes: &[u8], at: usize) -> Option<String> {
    let length = u32_at(bytes, at)? as usize;
    String::from_utf8(bytes.get(at + 4..(at + 4).checked_add(length)?)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELLO: Call<'_> = Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        signature: "",
    };

    #[test]
    fn a_message_is_as_long_as_it_says() {
        let message = HELLO.encode(7, Encoder::default());
        assert_eq!(length(&message[..PREFIX]), Some(message.len()));
        let read = Message::decode(&message).expect("a message");
        assert_eq!((read.kind, read.member.as_str(), read.reply_to), (1, "Hello", None));
        assert!(length(b"B234567890123456").is_none());
    }

    #[test]
    fn values_begin_where_their_types_may() {
        let mut body = Encoder::default();
        body.text("a");
        body.properties(&[("N", Value::Number(1)), ("P", Value::Pids(vec![5]))]);
        // The length of the array at 8, its first element at 16: 4 + 2, a signature of 3, 8 bytes at a multiple of 8 …
        let expected = [
            &[1, 0, 0, 0, b'a', 0, 0, 0][..],
            &[0x2c, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'N', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'P', 0, 2, b'a', b'u', 0, 0, 0],
            &[4, 0, 0, 0, 5, 0, 0, 0],
        ]
        .concat();
        assert_eq!(body.0, expected);
    }

    #[test]
    fn texts_of_a_body() {
        let mut body = Encoder::default();
        body.number(12);
        body.text("/job/12");
        body.text("a.scope");
        body.text("done");
        let message = Message { body: body.0, ..Message::default() };
        assert_eq!(message.texts(true), ["/job/12", "a.scope", "done"]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, cut in 0..100_usize, flip: u8) {
            let _ = (length(&bytes), Message::decode(&bytes).map(|message| message.texts(true)));
            let mut message = HELLO.encode(1, Encoder::default());
            if let Some(byte) = message.get_mut(cut) {
                *byte ^= flip;
            }
            let _ = Message::decode(&message).map(|message| message.texts(false));
        }
    }
}
