//! How much of anything a message may hold.

/// Bytes of a message: what UDP can carry, and what an offset in the header table can say.
pub const MESSAGE_LEN_MAX: usize = 65_535;

/// Bytes of a body.
pub const BODY_LEN_MAX: usize = MESSAGE_LEN_MAX;

/// Bytes of a start line without its CRLF.
pub const START_LINE_LEN_MAX: usize = 4_096;

/// Bytes of a URI.
pub const URI_LEN_MAX: usize = 2_048;

/// Bytes of a header's name and the white space before its colon.
pub(crate) const HEADER_NAME_LEN_MAX: usize = 256;

/// Header fields that fit into the table without allocation: twice what phones send.
pub const HEADER_COUNT_INLINE: usize = 48;

/// Header fields of a message.
pub const HEADER_COUNT_MAX: usize = 200;

/// Parameters of one header value or URI.
pub const PARAM_COUNT_MAX: usize = 64;

/// Values of one list (Via, Route, Contact …), over all its fields.
pub const VALUE_COUNT_MAX: usize = 128;
