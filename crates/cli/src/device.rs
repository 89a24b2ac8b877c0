//! The device of a command.

use std::str::FromStr;

use trompe::Device;

use crate::failure::{Exit, Failure};

/// A device as users type it; nothing is started before [`DeviceName::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    /// The best there is.
    Auto,
    /// The processor.
    Cpu,
    /// A device that needs a feature of the build, and its name.
    Feature(&'static str, String),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let kind = name.split_once(':').map_or(name, |(kind, _)| kind);
        let feature = |feature| Ok(Self::Feature(feature, name.to_owned()));
        match kind {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => feature("cuda"),
            "vulkan" => feature("vulkan"),
            "metal" => feature("metal"),
            "rocm" => feature("rocm"),
            _ => Err("the devices are auto, cpu, cuda:0, vulkan, metal and rocm".to_owned()),
        }
    }
}

impl DeviceName {
    pub(crate) fn open(&self) -> Result<Device, Failure> {
        match self {
            Self::Auto | Self::Cpu => Ok(Device::flex()),
            Self::Feature(feature, name) => Err(Failure::new(
                Exit::Usage,
                format!("this program was built without the device `{name}`"),
                format!("build it with `--features {feature}`, or use `--device cpu`"),
            )),
        }
    }
}
