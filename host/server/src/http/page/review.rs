//! The list in which somebody looks through what a run has found: what to keep, under which name
//! and with which filter. Saving it acknowledges the run.

use maud::{Markup, html};
use taskhost_service::features::Stored;

use super::control::{Payload, View};
use super::listed::{self, share};
use super::words;

/// What the run found and is there still, in its order. What is computed of the whole stream needs
/// no review.
pub(super) fn found<'a>(view: View<'a>, payload: &Payload) -> Vec<&'a Stored> {
    let of = |uuid: &str| {
        view.features
            .iter()
            .find(|one| one.feature.text("uuid") == uuid && !one.feature.is_excluded())
    };
    let found = payload.features.iter().filter_map(|named| of(&named.uuid));
    found.filter(|one| listed::is_system(&one.feature)).collect()
}

/// The form.
pub(super) fn form(view: View<'_>, found: &[&Stored]) -> Markup {
    let count = words::counted(found.len() as u64, "feature");
    html! {
        p { b { (count) " found." } " They are saved already; look through them, and save what \
            you think of them." }
        form #review .review method="post" action=(view.path) {
            ol.rows { @for one in found { (row(view, one)) } }
            @if view.may_operate {
                p.actions {
                    button #save .primary name="action" value="save" { "Save and finish review" }
                }
            }
        }
    }
}

fn row(view: View<'_>, stored: &Stored) -> Markup {
    let feature = &stored.feature;
    let uuid = feature.text("uuid");
    let id = |what: &str| format!("{what}-{uuid}");
    let filter = feature.fields().get("filter").map(ToString::to_string);
    let count = feature.number("count").unwrap_or(0);
    let (note, filter_id) = (id("count"), id("filter"));
    html! {
        li.row {
            fieldset disabled[!view.may_operate] {
                legend { (feature.text("name")) }
                input type="hidden" name={ "version." (uuid) } value=(stored.version);
                div.choice {
                    @for (at, (value, said, hint)) in [
                        ("keep", "Keep", "It stays in the list"),
                        ("drop", "Remove", "A later run may find it again"),
                        ("exclude", "Exclude", "No later run shows it again"),
                    ].into_iter().enumerate() {
                        label title=(hint) {
                            input id=(id(value)) type="radio" name={ "what." (uuid) }
                                value=(value) checked[at == 0];
                            " " (said)
                        }
                    }
                }
                div.fields {
                    label for=(id("name")) { "Name" }
                    input id=(id("name")) name={ "name." (uuid) } required maxlength="200"
                        autocomplete="off" value=(feature.text("name"));
                    label for=(filter_id) { "Filter" }
                    textarea id=(filter_id) name={ "filter." (uuid) } rows="2" spellcheck="false"
                        data-note=(note) aria-describedby=(note) {
                        (filter.unwrap_or_default())
                    }
                }
                (share(view.stream, count, Some(&note)))
                (listed::on_demand(view.path, feature, "why", "Evidence"))
            }
        }
    }
}
