//! Names that change.

use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use taskhost_clients::http::Names;

/// Each look-up gets the next addresses; after the last ones there is no such name.
#[derive(Debug)]
pub(super) struct FakeNames {
    addresses: Vec<Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl FakeNames {
    pub(super) fn new(addresses: &[&[&str]]) -> Self {
        let parsed = |one: &&[&str]| one.iter().map(|text| text.parse().unwrap()).collect();
        Self {
            addresses: addresses.iter().map(parsed).collect(),
            asked: Mutex::default(),
        }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Names for FakeNames {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(name.to_owned());
        let found = self.addresses.get(asked.len() - 1).cloned();
        found.ok_or_else(|| io::Error::other("no such name"))
    }
}
