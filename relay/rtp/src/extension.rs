//! Header extensions (RFC 3550 §5.3.1) and the elements inside them (RFC 8285 §4).

/// The header extension of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extension<'a> {
    /// Who defines the data: `0xBEDE` and `0x100x` are RFC 8285.
    pub profile: u16,
    /// A whole number of 32-bit words.
    pub data: &'a [u8],
}

/// One element of an extension, as `a=extmap` numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Element<'a> {
    /// 1 to 14, or to 255 in the two-byte form.
    pub id: u8,
    /// What it says.
    pub data: &'a [u8],
}

/// The elements of an extension. Stops at the first that goes on beyond the end.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    form: Form,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    OneByte,
    TwoBytes,
}

/// RFC 8285 §4.2.
const ONE_BYTE_PROFILE: u16 = 0xbede;

/// RFC 8285 §4.3; the low four bits are free for use.
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// RFC 8285 §4.2: an id of 15 says to stop.
const ID_STOP: u8 = 15;

impl<'a> Extension<'a> {
    /// The elements, if this is an extension by RFC 8285.
    #[must_use]
    pub fn elements(&self) -> Option<Elements<'a>> {
        let form = match self.profile {
            ONE_BYTE_PROFILE => Form::OneByte,
            profile if profile & 0xfff0 == TWO_BYTE_PROFILE => Form::TwoBytes,
            _ => return None,
        };
        Some(Elements {
            rest: self.data,
            form,
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        // A byte of zero is padding in both forms.
        let padding = self.rest.iter().take_while(|byte| **byte == 0).count();
        let rest = &self.rest[padding..];
        self.rest = &[];
        let (id, len, data) = match (self.form, rest) {
            (Form::OneByte, [head, data @ ..]) if head >> 4 != ID_STOP => {
                (head >> 4, usize::from(head & 0x0f) + 1, data)
            }
            (Form::TwoBytes, [id, len, data @ ..]) => (*id, usize::from(*len), data),
            _ => return None,
        };
        let (data, rest) = data.split_at_checked(len)?;
        self.rest = rest;
        Some(Element { id, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(profile: u16, data: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let extension = Extension { profile, data };
        let elements = extension.elements().unwrap();
        elements.map(|it| (it.id, it.data.to_vec())).collect()
    }

    #[test]
    fn reads_both_forms() {
        assert_eq!(
            elements(0xbede, &[0x10, 7, 0, 0x21, 8, 9, 0, 0]),
            [(1, vec![7]), (2, vec![8, 9])]
        );
        assert_eq!(
            elements(0x1003, &[1, 0, 2, 1, 7, 0, 0, 0]),
            [(1, vec![]), (2, vec![7])]
        );
    }

    #[test]
    fn stops_at_what_goes_on_beyond_the_end() {
        assert_eq!(elements(0xbede, &[0x10, 7, 0x23, 8]), [(1, vec![7])]);
        assert_eq!(elements(0x1000, &[1, 1, 7, 2]), [(1, vec![7])]);
        assert_eq!(elements(0x1000, &[1, 255, 7, 2]), []);
        assert_eq!(elements(0xbede, &[0xf0, 7, 0x10, 8]), [], "15 says stop");
    }

    #[test]
    fn leaves_other_profiles_alone() {
        let extension = Extension {
            profile: 0x2000,
            data: &[1, 1, 7, 0],
        };
        assert!(extension.elements().is_none());
    }
}
