//! How values are put into bytes and taken out again: variable-length integers, texts with their length, one byte for a choice.
//!
//! Every read is bounded by its input: what does not decode is damage, never a default.

use smallvec::SmallVec;

use super::record::Text;

/// Seven bits a byte.
const INTEGER_BYTES_MAX: usize = 10;
/// Values for which a list makes room before they are there: a damaged count must run out of bytes, not of memory.
const ROOM_MAX: usize = 64;

/// The value is damaged, or of a newer format: what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

pub type Decoded<T> = Result<T, Malformed>;

/// Has one form in bytes.
pub trait Coded: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(input: &mut &[u8]) -> Decoded<Self>;
}

impl Coded for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        out.push(rest.to_le_bytes()[0]);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let (bytes, mut value) = (*input, 0);
        for (at, &byte) in bytes.iter().enumerate().take(INTEGER_BYTES_MAX) {
            let bits = Self::from(byte & 0x7f);
            // Of the last byte, one bit is left.
            if at + 1 == INTEGER_BYTES_MAX && bits > 1 {
                break;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                *input = &bytes[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed("an integer"))
    }
}

/// Plain byte: choices and flags.
impl Coded for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let (&byte, rest) = input.split_first().ok_or(Malformed("a byte"))?;
        *input = rest;
        Ok(byte)
    }
}

macro_rules! coded_unsigned {
    ($($kind:ty),*) => {$(
        impl Coded for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                u64::from(*self).put(out);
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                Self::try_from(u64::get(input)?).map_err(|_| Malformed("a smaller integer"))
            }
        }
    )*};
}
coded_unsigned!(u16, u32);

/// Zigzag, so that small negative numbers stay short.
impl Coded for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        ((self << 1) ^ (self >> 63)).cast_unsigned().put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let zigzag = u64::get(input)?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }
}

impl Coded for i32 {
    fn put(&self, out: &mut Vec<u8>) {
        i64::from(*self).put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        Self::try_from(i64::get(input)?).map_err(|_| Malformed("a smaller integer"))
    }
}

impl Coded for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        match u8::get(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag")),
        }
    }
}

impl<const N: usize> Coded for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let (bytes, rest) = input.split_first_chunk().ok_or(Malformed("more bytes"))?;
        *input = rest;
        Ok(*bytes)
    }
}

impl Coded for Text {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let length = usize::try_from(u64::get(input)?).map_err(|_| Malformed("a text"))?;
        let (bytes, rest) = input.split_at_checked(length).ok_or(Malformed("a text"))?;
        *input = rest;
        std::str::from_utf8(bytes).map(Into::into).map_err(|_| Malformed("a text in UTF-8"))
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        if bool::get(input)? { T::get(input).map(Some) } else { Ok(None) }
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_all(self, out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let count = u64::get(input)?;
        let mut values = Self::with_capacity(usize::try_from(count).map_or(ROOM_MAX, |count| count.min(ROOM_MAX)));
        for _ in 0..count {
            values.push(T::get(input)?);
        }
        Ok(values)
    }
}

/// As a list.
impl<T: Coded, const N: usize> Coded for SmallVec<[T; N]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_all(self, out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        (0..u64::get(input)?).map(|_| T::get(input)).collect()
    }
}

fn put_all<T: Coded>(values: &[T], out: &mut Vec<u8>) {
    (values.len() as u64).put(out);
    values.iter().for_each(|value| value.put(out));
}

macro_rules! coded_tuple {
    ($($kind:ident),*) => {
        impl<$($kind: Coded),*> Coded for ($($kind,)*) {
            #[expect(non_snake_case, reason = "a field is named as its kind")]
            fn put(&self, out: &mut Vec<u8>) {
                let ($($kind,)*) = self;
                $($kind.put(out);)*
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                Ok(($($kind::get(input)?,)*))
            }
        }
    };
}
coded_tuple!(A, B);
coded_tuple!(A, B, C);

impl<T: Coded> Coded for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        T::get(input).map(Self::new)
    }
}

/// A record of named fields, in the order in which they are written.
macro_rules! coded_struct {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl $crate::history::coded::Coded for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                Ok(Self { $($field: Coded::get(input)?),* })
            }
        }
    )*};
}

/// A choice: its number, then its fields. Numbers are never reused.
macro_rules! coded_enum {
    ($($name:ident { $($tag:literal $variant:ident $({ $($field:ident),* })? $(( $($inner:ident),* ))?),* $(,)? })*) => {$(
        impl $crate::history::coded::Coded for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($inner),* ))? => {
                        out.push($tag);
                        $($($field.put(out);)*)?
                        $($($inner.put(out);)*)?
                    })*
                }
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                match u8::get(input)? {
                    $($tag => {
                        $($(let $field = Coded::get(input)?;)*)?
                        $($(let $inner = Coded::get(input)?;)*)?
                        Ok(Self::$variant $({ $($field),* })? $(( $($inner),* ))?)
                    })*
                    _ => Err(Malformed(concat!("a choice of ", stringify!($name)))),
                }
            }
        }
    )*};
}

pub(crate) use {coded_enum, coded_struct};
