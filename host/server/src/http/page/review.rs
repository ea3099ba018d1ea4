//! The list in which somebody looks through what a run has found: what to keep, under which name
//! and with which filter. Saving it acknowledges the run.

use maud::{Markup, html};
use taskhost_service::features::Stored;

use super::listed::{self, share};
use super::view::{View, to_review};
use super::words;

/// What the run found and is there still, in its order. What is computed of the whole stream needs
/// no review.
pub(super) fn found(view: View<'_>) -> Vec<&Stored> {
    let of = |uuid: String| {
        view.features
            .iter()
            .find(|one| one.feature.text("uuid") == uuid && !one.feature.is_excluded())
    };
    let found = to_review(view).into_iter().filter_map(of);
    found
        .filter(|one| listed::is_system(&one.feature))
        .collect()
}

/// The form.
pub(super) fn form(view: View<'_>, found: &[&Stored]) -> Markup {
    let count = words::counted(found.len() as u64, "feature");
    html! {
        p { b { (count) " found." } " All of it is saved already: look through it, and save what \
            you think of it." }
        form #review .review method="post" action=(view.path) {
            ol.rows { @for (at, one) in found.iter().enumerate() { (row(view, at, one)) } }
            @if view.may_operate {
                p.actions {
                    button #save .primary name="action" value="save" { "Save and finish review" }
                }
            }
        }
    }
}

fn row(view: View<'_>, at: usize, stored: &Stored) -> Markup {
    let feature = &stored.feature;
    let uuid = feature.text("uuid");
    let filter = feature.fields().get("filter").map(ToString::to_string);
    // By what it is of, and not by its place: what was typed is put back by it when rows have gone.
    let id = |of: &str| format!("{of}-{uuid}");
    let note = id("count");
    html! {
        li.row {
            fieldset disabled[!view.may_operate] {
                legend { (feature.text("name")) }
                input type="hidden" name={ "id." (at) } value=(uuid);
                input type="hidden" name={ "version." (at) } value=(stored.version);
                div.choice {
                    @for (value, said, hint) in [
                        ("keep", "Keep", "It stays in the list"),
                        ("drop", "Remove", "A later run may find it again"),
                        ("exclude", "Exclude", "No later run shows it again"),
                    ] {
                        label title=(hint) {
                            input id=(id(value)) type="radio" name={ "what." (at) }
                                value=(value) checked[value == "keep"];
                            " " (said)
                        }
                    }
                }
                div.fields {
                    label for=(id("name")) { "Name" }
                    input id=(id("name")) name={ "name." (at) } required maxlength="200"
                        autocomplete="off" value=(feature.text("name"));
                    label for=(id("filter")) { "Filter" }
                    textarea id=(id("filter")) name={ "filter." (at) } rows="2"
                        spellcheck="false" data-note=(note) aria-describedby=(note) {
                        (filter.unwrap_or_default())
                    }
                }
                (share(view, feature, Some(&note)))
                (listed::on_demand(view.path, stored, "why", "Evidence"))
            }
        }
    }
}
