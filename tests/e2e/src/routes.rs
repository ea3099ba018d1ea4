//! Every path that the router has, as it stands in its source: a new one cannot be forgotten.

use std::path::Path;

use crate::places;

/// The paths of the interface and of the pages, with their parameters in braces.
#[must_use]
pub fn all() -> Vec<String> {
    let mut routes = Vec::new();
    read(&places::top().join("host/server/src/http"), &mut routes);
    routes.sort();
    routes.dedup();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

fn read(folder: &Path, routes: &mut Vec<String>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            read(&path, routes);
            continue;
        }
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        // What stands in a file's tests is no route.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let quoted = code.split('"').skip(1).step_by(2);
        let paths = quoted.filter(|it| it.starts_with("/v1/") || it.starts_with("/internal/"));
        routes.extend(paths.filter(|it| !it.contains(' ')).map(str::to_owned));
    }
}
