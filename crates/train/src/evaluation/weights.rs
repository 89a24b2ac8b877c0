//! The weights of published networks.

use crate::TrainError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use trompe_data::cache_folder;
use trompe_metrics::{Network, NetworkWeights};

/// The files at hand: those that the recipe names, and those that were fetched.
pub(super) struct Shelf {
    given: BTreeMap<Network, NetworkWeights>,
}

impl Shelf {
    pub(super) fn open(files: &[PathBuf]) -> Result<Self, TrainError> {
        let mut given = BTreeMap::new();
        for file in files {
            let weights = NetworkWeights::read(file, None, false)?;
            given.insert(weights.network(), weights);
        }
        Ok(Self { given })
    }

    pub(super) fn has(&self, network: Network) -> bool {
        self.given.contains_key(&network) || fetched(network).is_some_and(|path| path.is_file())
    }

    pub(super) fn take(&mut self, network: Network) -> Result<NetworkWeights, TrainError> {
        if let Some(weights) = self.given.remove(&network) {
            return Ok(weights);
        }
        match fetched(network).filter(|path| path.is_file()) {
            Some(path) => Ok(NetworkWeights::read(&path, Some(network), false)?),
            None => Err(TrainError::NoWeights {
                network: network.file().name,
                file: network.file().file,
            }),
        }
    }
}

/// Where `trompe weights fetch` puts a file.
fn fetched(network: Network) -> Option<PathBuf> {
    Some(
        cache_folder()
            .ok()?
            .join("weights")
            .join(network.file().file),
    )
}
