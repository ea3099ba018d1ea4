//! Where traces go: `[telemetry]`.

use reqwest::Url;

use super::reader::Reader;

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TelemetrySettings {
    /// The address of a collector that speaks OTLP over HTTP, without a path behind it; none:
    /// nobody collects.
    pub otlp_endpoint: Option<String>,
}

pub(super) fn telemetry(reader: &mut Reader<'_>) -> TelemetrySettings {
    const KEY: &str = "telemetry.otlp_endpoint";
    let text = reader.text(KEY, "off");
    if text == "off" {
        return TelemetrySettings::default();
    }
    let url = Url::parse(&text).ok();
    let is_base = |url: &Url| {
        let has_user = !url.username().is_empty() || url.password().is_some();
        matches!(url.scheme(), "http" | "https") && url.has_host() && !has_user
    };
    let otlp_endpoint = match url.filter(is_base) {
        Some(_) => Some(text.trim_end_matches('/').to_owned()),
        None => {
            let wanted = "has to be an address such as \"http://127.0.0.1:4318\", without a user \
                          in it, or \"off\"";
            reader.contradiction(KEY, wanted.to_owned());
            None
        }
    };
    TelemetrySettings { otlp_endpoint }
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    fn read(endpoint: &str) -> Result<TelemetrySettings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: format!("[telemetry]\notlp_endpoint = \"{endpoint}\"\n"),
        };
        let read = Settings::read(Some(&file), &|_| None, Flags::default());
        read.map(|settings| settings.telemetry)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn an_endpoint_is_an_address_without_a_user() {
        let given = |endpoint| read(endpoint).unwrap().otlp_endpoint;
        assert_eq!(given("off"), None);
        let endpoint = given("http://127.0.0.1:4318/");
        assert_eq!(endpoint.as_deref(), Some("http://127.0.0.1:4318"));
        for bad in ["127.0.0.1:4318", "ftp://a", "http://somebody:s3cret@a"] {
            let said = read(bad).unwrap_err().join("\n");
            assert!(
                said.starts_with("t.toml:2: `telemetry.otlp_endpoint`"),
                "{said}"
            );
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
