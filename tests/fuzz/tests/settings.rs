//! The settings file: whatever an editor left in it, there is an error that names the place.

use std::path::Path;

use tandem_fuzz::{seeds, target};
use tandem_settings::Loaded;

target!(settings_file, seeds::settings(), 60_000, settings_file_body);

fn settings_file_body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Loaded::parse(Path::new("tandem.toml"), text) {
        Ok(loaded) => {
            let _ = loaded
                .wrong("relay.ports", "a problem", "a cure")
                .to_string();
        }
        Err(error) => assert!(error.to_string().contains("tandem.toml")),
    }
}
