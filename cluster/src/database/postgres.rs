use crate::target::{SettingInfo, Topology};

pub(crate) fn settings(_topology: Topology) -> Vec<SettingInfo> {
    unimplemented!()
}
