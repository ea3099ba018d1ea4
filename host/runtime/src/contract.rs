//! What a component imports and exports, and what this host has: read from the types of both,
//! so that the host's side is the WIT it was built with and no list beside it.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};

/// The contract's package.
pub(crate) const PACKAGE: &str = "taskhost:task";

/// A name with its version: `taskhost:task/streams@1.0.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Without the version.
    pub(crate) name: String,
    /// Major, minor, patch; none where the name has none.
    pub(crate) version: Option<[u64; 3]>,
    /// The functions in it, as people write them: `collection.get`.
    pub(crate) functions: BTreeSet<String>,
}

/// What a component needs and offers at its outside.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) imports: Vec<Interface>,
    pub(crate) exports: Vec<Interface>,
}

/// What this host has of its own package.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) version: [u64; 3],
    /// By name without package and version.
    pub(crate) interfaces: BTreeMap<String, BTreeSet<String>>,
}

impl Interface {
    fn new(name: &str, functions: BTreeSet<String>) -> Self {
        let (name, version) = match name.split_once('@') {
            Some((name, version)) => (name, parse_version(version)),
            None => (name, None),
        };
        Self {
            name: name.to_owned(),
            version,
            functions,
        }
    }

    /// The interface's own name, if it is of this package.
    pub(crate) fn of_contract(&self) -> Option<&str> {
        self.name.strip_prefix(PACKAGE)?.strip_prefix('/')
    }
}

impl Contract {
    /// Reads the world that the bindings were made from.
    pub(crate) fn read(component_type: &[u8]) -> Result<Self, String> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let types = validator
            .validate_all(component_type)
            .map_err(|error| error.to_string())?;
        let types = types.as_ref();
        let names = outside_names(component_type)?;
        let mut interfaces = BTreeMap::new();
        let mut version = None;
        for world in names
            .exports
            .iter()
            .filter_map(|name| world_at(types, name))
        {
            for (name, item) in &types[world].imports {
                let interface = Interface::new(name, functions(types, &item.ty));
                if let Some(own) = interface.of_contract() {
                    version = version.or(interface.version);
                    interfaces.insert(own.to_owned(), interface.functions);
                }
            }
        }
        let version = version.ok_or("the contract has no imports")?;
        Ok(Self {
            version,
            interfaces,
        })
    }

    /// Whether a component that was built for `version` of the contract links with this one.
    pub(crate) fn links_with(&self, version: Option<[u64; 3]>) -> bool {
        version.is_some_and(|[major, ..]| major == self.version[0])
    }
}

impl Outside {
    /// Reads a component that has been validated.
    pub(crate) fn read(bytes: &[u8], types: TypesRef<'_>) -> Result<Self, String> {
        let names = outside_names(bytes)?;
        let import = |name: &String| {
            let item = types.component_item_for_import(name);
            Interface::new(
                name,
                item.map(|item| functions(types, &item.ty))
                    .unwrap_or_default(),
            )
        };
        let export = |name: &String| {
            let item = types.component_item_for_export(name);
            Interface::new(
                name,
                item.map(|item| functions(types, &item.ty))
                    .unwrap_or_default(),
            )
        };
        Ok(Self {
            imports: names.imports.iter().map(import).collect(),
            exports: names.exports.iter().map(export).collect(),
        })
    }
}

/// The outside of a component as its file names it, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Those that it exports.
    pub exports: Vec<String>,
}

impl Outline {
    /// The contract that it was built for: `taskhost:task@1.0.0`. None where it has nothing of it.
    #[must_use]
    pub fn contract(&self) -> Option<String> {
        let mut names = self.exports.iter().chain(&self.imports);
        names.find_map(|name| {
            let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
            Some(format!("{PACKAGE}@{version}"))
        })
    }
}

/// What a component imports and exports, whether a host takes it or not.
///
/// # Errors
/// Where the file is no component.
pub fn outline(bytes: &[u8]) -> Result<Outline, String> {
    outside_names(bytes)
}

/// Names at the outermost level.
fn outside_names(bytes: &[u8]) -> Result<Outline, String> {
    let mut names = Outline::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // Every nested part has its end; the outermost one comes last.
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    names.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    names.exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The world in an encoded one: a component type in a component type.
fn world_at(
    types: TypesRef<'_>,
    name: &str,
) -> Option<wasmparser::component_types::ComponentTypeId> {
    let outer = match types.component_item_for_export(name)?.ty {
        ComponentEntityType::Type {
            referenced: ComponentAnyTypeId::Component(id),
            ..
        } => id,
        _ => return None,
    };
    types[outer]
        .exports
        .values()
        .find_map(|item| match item.ty {
            ComponentEntityType::Component(id) => Some(id),
            _ => None,
        })
}

fn functions(types: TypesRef<'_>, item: &ComponentEntityType) -> BTreeSet<String> {
    let ComponentEntityType::Instance(id) = item else {
        return BTreeSet::new();
    };
    let functions = types[*id].exports.iter();
    let functions = functions.filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
    functions.map(|(name, _)| readable(name)).collect()
}

/// `[method]collection.get` is written as `collection.get`.
fn readable(function: &str) -> String {
    function.rsplit(']').next().unwrap_or(function).to_owned()
}

fn parse_version(text: &str) -> Option<[u64; 3]> {
    // What comes after a hyphen or plus does not count for linking.
    let core = text.split(['-', '+']).next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::v1::COMPONENT_TYPE;

    #[test]
    fn the_contract_is_read_from_the_wit() {
        let contract = Contract::read(COMPONENT_TYPE).unwrap();
        assert_eq!(contract.version, [1, 0, 0]);
        let names: Vec<_> = contract.interfaces.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "children",
                "context",
                "documents",
                "http",
                "inference",
                "log",
                "progress",
                "secrets",
                "state",
                "streams",
                "types"
            ]
        );
        let documents: Vec<_> = contract.interfaces["documents"].iter().collect();
        let expected = [
            "collection.apply",
            "collection.get",
            "collection.open",
            "collection.query",
        ];
        assert_eq!(documents, expected);
        assert_eq!(contract.interfaces["streams"].len(), 6);
    }

    #[test]
    fn versions_link_within_a_major_one() {
        let contract = Contract {
            version: [1, 2, 0],
            interfaces: BTreeMap::new(),
        };
        assert!(!contract.links_with(Some([0, 1, 0])));
        assert!(contract.links_with(Some([1, 0, 0])) && contract.links_with(Some([1, 9, 0])));
        assert!(!contract.links_with(Some([2, 0, 0])) && !contract.links_with(None));
        assert_eq!(parse_version("1.2.3-rc.1"), Some([1, 2, 3]));
        assert_eq!(parse_version("1.2"), None);
    }
}
