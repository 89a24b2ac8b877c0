//! Networks with published weights: which files they come in, and whether a file is one of them.

use super::Provenance;
use crate::MetricError;
use std::collections::BTreeMap;
use std::path::Path;
use trompe_layers::Misfit;
use trompe_models::judge::Weights;
use trompe_snapshots::{Published, PublishedTensor};

/// A network, or a part of one, that comes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// The network of FID.
    Inception,
    /// VGG16, for precision and recall and for LPIPS.
    Vgg16,
    /// AlexNet, for LPIPS.
    Alexnet,
    /// SqueezeNet 1.1, for LPIPS.
    Squeezenet,
    /// LPIPS's weights of AlexNet's maps.
    LpipsAlexnet,
    /// LPIPS's weights of SqueezeNet's maps.
    LpipsSqueezenet,
    /// LPIPS's weights of VGG16's maps.
    LpipsVgg16,
}

/// A file as its authors published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightFile {
    /// What is in it.
    pub network: Network,
    /// What users call it: `inception`, `vgg16`, ...
    pub name: &'static str,
    /// Its own name.
    pub file: &'static str,
    /// Where it lies.
    pub url: &'static str,
    /// How its SHA-256 begins: eight digits where the authors published no more, in the file's name.
    pub sha256: &'static str,
}

/// All of them.
pub const WEIGHT_FILES: [WeightFile; 7] = [
    WeightFile {
        network: Network::Inception,
        name: "inception",
        file: "pt_inception-2015-12-05-6726825d.pth",
        url: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256: "6726825d",
    },
    WeightFile {
        network: Network::Vgg16,
        name: "vgg16",
        file: "vgg16-397923af.pth",
        url: "https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256: "397923af",
    },
    WeightFile {
        network: Network::Alexnet,
        name: "alexnet",
        file: "alexnet-owt-4df8aa71.pth",
        url: "https://download.pytorch.org/models/alexnet-owt-4df8aa71.pth",
        sha256: "4df8aa71",
    },
    WeightFile {
        network: Network::Squeezenet,
        name: "squeezenet",
        file: "squeezenet1_1-f364aa15.pth",
        url: "https://download.pytorch.org/models/squeezenet1_1-f364aa15.pth",
        sha256: "f364aa15",
    },
    WeightFile {
        network: Network::LpipsAlexnet,
        name: "lpips-alexnet",
        file: "alex.pth",
        url: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth",
        sha256: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    },
    WeightFile {
        network: Network::LpipsSqueezenet,
        name: "lpips-squeezenet",
        file: "squeeze.pth",
        url: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/squeeze.pth",
        sha256: "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
    },
    WeightFile {
        network: Network::LpipsVgg16,
        name: "lpips-vgg16",
        file: "vgg.pth",
        url: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
        sha256: "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    },
];

impl Network {
    /// The file that it is published in.
    pub fn file(self) -> WeightFile {
        let of_this = |file: &&WeightFile| file.network == self;
        *WEIGHT_FILES
            .iter()
            .find(of_this)
            .unwrap_or(&WEIGHT_FILES[0])
    }

    /// A tensor, and its shape, that only this network has.
    fn mark(self) -> (&'static str, &'static [usize]) {
        match self {
            Self::Inception => ("Mixed_7c.branch3x3_2b.conv.weight", &[384, 384, 3, 1]),
            Self::Vgg16 => ("features.28.weight", &[512, 512, 3, 3]),
            Self::Alexnet => ("features.0.weight", &[64, 3, 11, 11]),
            Self::Squeezenet => ("features.3.squeeze.weight", &[16, 64, 1, 1]),
            Self::LpipsAlexnet => ("lin2.model.1.weight", &[1, 384, 1, 1]),
            Self::LpipsSqueezenet => ("lin6.model.1.weight", &[1, 512, 1, 1]),
            Self::LpipsVgg16 => ("lin3.model.1.weight", &[1, 512, 1, 1]),
        }
    }
}

/// The weights of one network, from a file.
#[derive(Debug)]
pub struct NetworkWeights {
    network: Network,
    tensors: BTreeMap<String, PublishedTensor>,
    sha256: String,
    verified: bool,
    shown: String,
}

impl NetworkWeights {
    /// Reads a file. Which network it is for is told by its tensors; `expected` is what it must be.
    /// A file with another checksum than the published one is refused unless `unverified` allows it,
    /// and then every score says so.
    ///
    /// # Errors
    /// [`MetricError::File`], [`MetricError::UnknownNetwork`], [`MetricError::OtherNetwork`],
    /// [`MetricError::Unverified`].
    pub fn read(
        path: &Path,
        expected: Option<Network>,
        unverified: bool,
    ) -> Result<Self, MetricError> {
        let Published { tensors, sha256 } = Published::read(path)?;
        let shown = path.display().to_string();
        let network = WEIGHT_FILES
            .iter()
            .map(|file| file.network)
            .find(|network| {
                let (name, shape) = network.mark();
                tensors
                    .get(name)
                    .is_some_and(|tensor| tensor.shape == shape)
            });
        let network = match (network, expected) {
            (Some(found), None) => found,
            (Some(found), Some(expected)) if found == expected => found,
            (Some(found), Some(expected)) => {
                return Err(MetricError::OtherNetwork {
                    path: shown,
                    found: found.file().name,
                    expected: expected.file().name,
                });
            }
            // Named by the user: what is missing will be said tensor by tensor.
            (None, Some(expected)) => expected,
            (None, None) => return Err(MetricError::UnknownNetwork { path: shown }),
        };
        let verified = sha256.starts_with(network.file().sha256);
        if !verified && !unverified {
            return Err(MetricError::Unverified {
                path: shown,
                sha256,
                published: network.file().sha256,
                name: network.file().name,
            });
        }
        Ok(Self {
            network,
            tensors,
            sha256,
            verified,
            shown,
        })
    }

    /// What they are for.
    pub fn network(&self) -> Network {
        self.network
    }

    /// What scores by this network say.
    pub(super) fn provenance(&self, network: &str, protocol: String) -> Provenance {
        Provenance {
            network: network.to_owned(),
            protocol,
            features: self.sha256.clone(),
            verified: self.verified,
        }
    }

    /// What scores by a trunk and its linear weights say.
    pub(crate) fn together(&self, linear: &Self) -> Provenance {
        Provenance {
            network: format!("lpips-{}", self.network.file().name),
            protocol: "v0.1".to_owned(),
            features: format!("{}+{}", self.sha256, linear.sha256),
            verified: self.verified && linear.verified,
        }
    }

    /// That these are not the weights of `expected`.
    pub(crate) fn other_than(&self, expected: Network) -> MetricError {
        MetricError::OtherNetwork {
            path: self.shown.clone(),
            found: self.network.file().name,
            expected: expected.file().name,
        }
    }

    /// A misfit of these weights as an error.
    pub(crate) fn misfit(&self, misfit: Misfit) -> MetricError {
        let reason = match misfit {
            Misfit::Missing(name) => format!("it has no tensor `{name}`"),
            Misfit::Shape {
                name,
                found,
                expected,
            } => format!("its tensor `{name}` is {found:?}, not {expected:?}"),
            Misfit::Extra(name) => format!("it has a tensor `{name}` too many"),
        };
        MetricError::Misfit {
            path: self.shown.clone(),
            name: self.network.file().name,
            reason,
        }
    }
}

impl Weights for NetworkWeights {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Misfit> {
        match self.tensors.remove(name) {
            None => Err(Misfit::Missing(name.to_owned())),
            Some(tensor) if tensor.shape != shape => Err(Misfit::Shape {
                name: name.to_owned(),
                found: tensor.shape,
                expected: shape.to_vec(),
            }),
            Some(tensor) => Ok(tensor.values),
        }
    }
}
