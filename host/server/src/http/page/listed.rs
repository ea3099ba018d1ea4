//! The list of a stream's features, and the page of one of them. What speaks for a feature is
//! fetched when somebody asks for it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use maud::{Markup, html};
use serde_json::Value;
use taskhost_model::feature::Feature;
use taskhost_model::time::Timestamp;
use taskhost_service::features::Stored;

use super::view::{View, to_review};
use super::words::{self, time};

/// Features that the page lists; the route has all of them.
const LISTED_MAX: usize = 200;
/// Lines of evidence of one feature, and characters of each.
const EVIDENCE_MAX: usize = 50;
const LINE_CHARS_MAX: usize = 600;
/// Characters of what a computed feature holds.
const PROPERTIES_CHARS_MAX: usize = 20_000;

/// Whether a feature stands for a part of the stream, and not for the stream as a whole.
pub(super) fn is_system(feature: &Feature) -> bool {
    !matches!(
        feature.text("type"),
        "dataset_analysis" | "log_samples" | "log_patterns" | "error_logs"
    )
}

/// The list.
pub(super) fn list(view: View<'_>) -> Markup {
    let excluded: Vec<&Stored> = of(view, |feature| feature.is_excluded());
    let systems: Vec<&Stored> = of(view, |it| !it.is_excluded() && is_system(it));
    // What is shown above, to be reviewed, is not shown twice.
    let reviewed = to_review(view);
    let listed = systems
        .iter()
        .filter(|one| !reviewed.iter().any(|uuid| uuid == one.feature.text("uuid")));
    let listed: Vec<&Stored> = listed.copied().collect();
    let computed: Vec<&Stored> = of(view, |it| !it.is_excluded() && !is_system(it));
    html! {
        section #features aria-labelledby="features-title" data-key=(key(view)) {
            h2 #features-title tabindex="-1" {
                "Features " span.count { (systems.len()) }
            }
            @if systems.is_empty() {
                p { "There are none yet." }
            }
            @if listed.len() < systems.len() {
                @let waiting = systems.len() - listed.len();
                p.hint {
                    (waiting) @if waiting == 1 { " waits" } @else { " wait" }
                    " for your review above."
                }
            }
            ul.rows { @for one in listed.iter().take(LISTED_MAX) { (item(view, one)) } }
            @if listed.len() > LISTED_MAX {
                p.hint { "The first " (LISTED_MAX) " of them are shown." }
            }
            @if !computed.is_empty() {
                h3 { "About the whole stream " span.count { (computed.len()) } }
                ul.rows { @for one in &computed { (about(view, one)) } }
            }
            @if !excluded.is_empty() {
                details #excluded .excluded {
                    summary { "Excluded " span.count { (excluded.len()) } }
                    ul.rows { @for one in &excluded { (hidden(view, one)) } }
                }
            }
        }
    }
}

fn of<'a>(view: View<'a>, test: impl Fn(&Feature) -> bool) -> Vec<&'a Stored> {
    let features = view.features.iter();
    features.filter(|one| test(&one.feature)).collect()
}

/// Another one where another list is to be shown.
fn key(view: View<'_>) -> String {
    let features: Vec<&Stored> = view.features.iter().collect();
    let mut hasher = DefaultHasher::new();
    (view.stream.documents, view.may_operate, to_review(view)).hash(&mut hasher);
    format!("{} {:016x}", hash_of(&features), hasher.finish())
}

/// Another one where one of these features is another, or is like something else.
pub(super) fn hash_of(features: &[&Stored]) -> String {
    let mut hasher = DefaultHasher::new();
    for one in features {
        (one.feature.text("uuid"), &one.version).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn item(view: View<'_>, stored: &Stored) -> Markup {
    let feature = &stored.feature;
    html! {
        li.row {
            h3 { (feature.text("name")) (marks(feature)) }
            @let title = feature.text("title");
            @if !title.is_empty() && title != feature.text("name") { p { (title) } }
            (share(view, feature, None))
            @if let Some(filter) = feature.filter() {
                p.hint { code { (words::condition(&filter)) } }
            }
            (on_demand(view.path, stored, "more", "Evidence and edit"))
        }
    }
}

fn about(view: View<'_>, stored: &Stored) -> Markup {
    let feature = &stored.feature;
    let title = match feature.text("title") {
        "" => feature.text("name"),
        title => title,
    };
    html! {
        li.row {
            h4 { (title) }
            (on_demand(view.path, stored, "more", "What it holds"))
        }
    }
}

fn hidden(view: View<'_>, stored: &Stored) -> Markup {
    let feature = &stored.feature;
    let uuid = feature.text("uuid");
    let at = Timestamp::parse(feature.text("excluded_at")).ok();
    html! {
        li.row {
            h4 { (feature.text("name")) }
            p.hint {
                "Excluded"
                @let by = feature.text("excluded_by");
                @if !by.is_empty() { " by " b { (by) } }
                @if let Some(at) = at { ", " (time(at)) }
            }
            @if view.may_operate {
                form method="post" action=(one_path(view.path, uuid)) {
                    input type="hidden" name="version" value=(stored.version);
                    button id={ "restore-" (uuid) } name="action" value="restore" { "Restore" }
                }
            }
        }
    }
}

/// Where one feature's page is.
pub(super) fn one_path(path: &str, uuid: &str) -> String {
    format!("{path}/features/{uuid}")
}

/// Something that is fetched when it is opened; a link where there is no script. What was fetched
/// of one version is not shown for another.
pub(super) fn on_demand(path: &str, stored: &Stored, what: &str, said: &str) -> Markup {
    let feature = &stored.feature;
    let uuid = feature.text("uuid");
    let source = format!("{}?part={what}", one_path(path, uuid));
    html! {
        details id={ (what) "-" (uuid) } data-source=(source)
            data-version=(stored.version) {
            summary { (said) }
            p { a href=(one_path(path, uuid)) { "Open " (feature.text("name")) } }
        }
    }
}

/// What sets a feature apart: sureness, who it is from, tags.
fn marks(feature: &Feature) -> Markup {
    html! {
        @if let Some(confidence) = feature.number("confidence") {
            @if feature.text("source") != "person" {
                " " span.mark { (confidence) " % sure" }
            }
        }
        @match feature.text("source") {
            "person" => { " " span.mark { "by a person" } }
            "model" => { " " span.mark { "by a model" } }
            _ => {}
        }
        @if !feature.texts("edited").is_empty() { " " span.mark { "edited" } }
        @let subtype = feature.text("subtype");
        @if !subtype.is_empty() { " " span.mark { (subtype) } }
        @for tag in feature.texts("tags") { " " span.mark { (tag) } }
    }
}

/// How much a feature is of what it was counted in: the stream, or the range of a run. The note is
/// where the script writes another number, which is one of the stream.
pub(super) fn share(view: View<'_>, feature: &Feature, note: Option<&str>) -> Markup {
    let count = feature.number("count").unwrap_or(0);
    let of = counted_in(view, feature);
    let share = of.map(|of| words::permille(count, of));
    html! {
        div.share {
            @if let Some(permille) = share {
                svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                    rect.whole width="1000" height="10" {}
                    rect.part width=(permille) height="10" {}
                }
            }
            span id=[note] data-documents=(view.stream.documents) {
                @if let Some((permille, of)) = share.zip(of) {
                    (words::percent(permille))
                    @if of == view.stream.documents { " of the stream, " }
                    @else { " of the " (words::counted(of, "document")) " looked at, " }
                }
                (words::counted(count, "document"))
                @if of.is_none() { " in the range of an earlier run" }
            }
        }
    }
}

/// Among how many documents its own were counted, where that is known.
fn counted_in(view: View<'_>, feature: &Feature) -> Option<u64> {
    let of_run = view
        .looked_at
        .filter(|it| it.run == feature.text("run_id"))
        .map(|it| it.documents);
    feature.number("count_of").or(of_run)
}

/// What is fetched of one feature.
pub(super) fn part(view: View<'_>, stored: &Stored, with_edit: bool) -> Markup {
    let feature = &stored.feature;
    html! {
        div.part {
            @let description = feature.text("description");
            @if !description.is_empty() { p { (description) } }
            @let evidence = feature.texts("evidence");
            @if !evidence.is_empty() {
                ul.evidence {
                    @for line in evidence.iter().take(EVIDENCE_MAX) {
                        li { code { (cut(line, LINE_CHARS_MAX)) } }
                    }
                }
            }
            (properties(feature))
            (dates(feature))
            @if with_edit && view.may_operate { (edit(view, stored)) }
        }
    }
}

fn properties(feature: &Feature) -> Markup {
    let properties = feature.fields().get("properties");
    let properties = properties.filter(|it| it.as_object().is_some_and(|it| !it.is_empty()));
    html! {
        @if let Some(properties) = properties {
            pre tabindex="0" { (cut(&pretty(properties), PROPERTIES_CHARS_MAX)) }
        }
    }
}

fn dates(feature: &Feature) -> Markup {
    let at = |field| Timestamp::parse(feature.text(field)).ok();
    let is_persons = feature.text("source") == "person";
    html! {
        p.hint {
            @if let Some(seen) = at("last_seen") { "Last found " (time(seen)) ". " }
            @if let Some(expires) = at("expires_at").filter(|_| !is_persons) {
                "Forgotten " (time(expires)) " unless it is found again."
            }
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn edit(view: View<'_>, stored: &Stored) -> Markup {
    let feature = &stored.feature;
    let uuid = feature.text("uuid");
    let filter = feature.fields().get("filter").map(ToString::to_string);
    let note = format!("edit-count-{uuid}");
    html! {
        form.edit method="post" action=(one_path(view.path, uuid)) {
            input type="hidden" name="version" value=(stored.version);
            @if is_system(feature) {
                label for={ "edit-name-" (uuid) } { "Name" }
                input id={ "edit-name-" (uuid) } name="name" required maxlength="200"
                    autocomplete="off" value=(feature.text("name"));
                label for={ "edit-filter-" (uuid) } { "Filter" }
                textarea id={ "edit-filter-" (uuid) } name="filter" rows="2" spellcheck="false"
                    data-note=(note) aria-describedby=(note) { (filter.unwrap_or_default()) }
                p.hint id=(note) data-documents=(view.stream.documents) {}
            }
            p.actions {
                @if is_system(feature) {
                    button id={ "edit-save-" (uuid) } name="action" value="edit" { "Save" }
                    " "
                    button id={ "edit-exclude-" (uuid) } name="action" value="exclude"
                        formnovalidate title="No later run shows it again" { "Exclude" }
                    " "
                }
                button id={ "edit-delete-" (uuid) } name="action" value="delete" formnovalidate
                    title="A later run may find it again" { "Remove" }
            }
        }
    }
}
