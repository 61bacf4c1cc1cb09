//! Tones that mean something: the keys of a phone, sung (ITU-T Q.23) and heard (Q.24).
//!
//! | Hz | 1209 | 1336 | 1477 | 1633 |
//! | --- | --- | --- | --- | --- |
//! | **697** | 1 | 2 | 3 | A |
//! | **770** | 4 | 5 | 6 | B |
//! | **852** | 7 | 8 | 9 | C |
//! | **941** | * | 0 | # | D |

mod detector;
mod generator;

pub use detector::{Detector, Edge};
pub use generator::Generator;

/// The lower tone of each row.
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];

/// The upper tone of each column.
const COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The events of RFC 4733, by row and column.
const EVENTS: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

/// Where an event stands in the table.
fn place(event: u8) -> Option<(usize, usize)> {
    let rows = EVENTS.iter().enumerate();
    let mut places = rows.flat_map(|(row, events)| {
        let columns = events.iter().enumerate();
        columns.map(move |(column, it)| (*it, (row, column)))
    });
    places.find(|(it, _)| *it == event).map(|(_, place)| place)
}

/// The amplitude of a sine of 0 dBm0: 3.14 dB below one of full scale (G.711).
const AMPLITUDE_0_DBM0: f32 = 32_768.0 * 0.696_6;

#[cfg(test)]
mod tests;
