//! The weights of published networks: given by path, or in the cache.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use trompe_data::cache_folder;
use trompe_metrics::{Lpips, Network, NetworkWeights, WEIGHT_FILES};

use crate::failure::{Exit, Failure};

/// Where weights are.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WeightArguments {
    /// A file of published weights, `.pth` or safetensors; whose they are is seen from the file, or
    /// said before it, as in `inception=FILE` (repeatable)
    #[arg(long = "weights", value_name = "[NET=]FILE", value_parser = given)]
    files: Vec<Given>,
    /// Use weights whose checksum is not the published one; every score then says so
    #[arg(long)]
    unverified_weights: bool,
}

#[derive(Clone, Debug)]
struct Given {
    network: Option<Network>,
    path: PathBuf,
}

fn given(text: &str) -> Result<Given, String> {
    let named = text.split_once('=').and_then(|(name, path)| {
        let file = WEIGHT_FILES.iter().find(|file| file.name == name)?;
        Some((file.network, path))
    });
    let path = named.map_or(text, |(_, path)| path);
    if path.is_empty() {
        return Err("say which file".to_owned());
    }
    Ok(Given {
        network: named.map(|(network, _)| network),
        path: PathBuf::from(path),
    })
}

/// The weights at hand: those that were given, and those in the cache.
pub(crate) struct Shelf {
    given: BTreeMap<Network, NetworkWeights>,
    unverified: bool,
    /// Two scores look through it.
    pub(super) lpips: Option<Rc<Lpips>>,
}

impl Shelf {
    /// Reads what was given.
    pub(crate) fn open(arguments: &WeightArguments) -> Result<Self, Failure> {
        let mut given = BTreeMap::new();
        for file in &arguments.files {
            let unverified = arguments.unverified_weights;
            let weights = NetworkWeights::read(&file.path, file.network, unverified)?;
            given.insert(weights.network(), weights);
        }
        Ok(Self {
            given,
            unverified: arguments.unverified_weights,
            lpips: None,
        })
    }

    /// Whether the weights of a network are there.
    pub(crate) fn has(&self, network: Network) -> bool {
        self.given.contains_key(&network) || cached(network).is_some_and(|path| path.is_file())
    }

    /// Takes the weights of a network.
    pub(crate) fn take(&mut self, network: Network) -> Result<NetworkWeights, Failure> {
        if let Some(weights) = self.given.remove(&network) {
            return Ok(weights);
        }
        let file = network.file();
        match cached(network).filter(|path| path.is_file()) {
            Some(path) => Ok(NetworkWeights::read(&path, Some(network), self.unverified)?),
            None => Err(Failure::new(
                Exit::Missing,
                format!("the weights of `{}` are not here", file.name),
                format!(
                    "`trompe weights fetch {}` downloads them; without a network, give the file {} \
                     with `--weights FILE`, or ask for scores that need none: `--metrics \
                     frechet,kernel,precision,recall`",
                    file.name, file.file
                ),
            )),
        }
    }
}

/// Where the weights of a network lie once they were fetched.
fn cached(network: Network) -> Option<PathBuf> {
    Some(weight_folder()?.join(network.file().file))
}

/// The folder of fetched weights: `weights` in the cache of all downloads.
pub(crate) fn weight_folder() -> Option<PathBuf> {
    Some(cache_folder().ok()?.join("weights"))
}
