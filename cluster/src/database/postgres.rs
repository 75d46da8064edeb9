use crate::target::{SettingInfo, Topology};

pub(crate) fn settings(_topology: Topology) -> Vec<SettingInfo> {
    unimplemented!()
}
pub(crate) fn server_binaries() -> Vec<crate::sandbox::ServerBinary> {
    vec![]
}
