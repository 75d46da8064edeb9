//! Every history that is read, in every format that can say it, and read again.

use schism_checker::history::{
    ConvertError, F, Format, History, Op, Outcome, ReadOptions, Target, convert, read_any_for_conversion,
};

use super::{split, verdict};

/// Reads, and for each target writes and reads again.
pub(crate) fn trip(data: &[u8]) {
    let (options, text) = split(data);
    let Ok(loaded) = read_any_for_conversion(text, None, &options) else { return };
    let history = loaded.history;
    let workload = history.header().workload.clone();
    for (name, target) in Target::NAMES {
        let mut written = Vec::new();
        match convert(&history, *target, &mut written) {
            Ok(_) => {}
            Err(ConvertError::Inexpressible(why)) => {
                assert!(!why.is_empty() && written.is_empty() && !matches!(target, Target::Jsonl | Target::Edn));
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        }
        if history.is_empty() {
            continue;
        }
        let text = String::from_utf8_lossy(&written).into_owned();
        let format = match target {
            Target::Jsonl => Format::Jsonl,
            Target::Plume => Format::Plume,
            Target::Porcupine if workload != "kv" => Format::PorcupineLog,
            _ => Format::Edn,
        };
        let model = if *target == Target::Plume { "rw-register".to_owned() } else { workload.clone() };
        let options = ReadOptions { workload: Some(model) };
        let back = match read_any_for_conversion(&written[..], Some(format), &options) {
            Ok(back) => back.history,
            // Nothing was left to write.
            Err(_) if !lossless(*target) && written.is_empty() => continue,
            Err(problems) => panic!("{name}: {problems}\n{text}"),
        };
        if lossless(*target) {
            assert_eq!(history.len(), back.len(), "{name}\n{text}");
            assert_eq!(history.has_real_time(), back.has_real_time(), "{name}\n{text}");
            assert_eq!(history.is_keyed(), back.is_keyed(), "{name}\n{text}");
            for (before, after) in history.ops().zip(back.ops()) {
                assert_eq!(spelled(&history, &before), spelled(&back, &after), "{name}\n{text}");
            }
            // Of our own history read as EDN nobody knows any more who claimed to be primary, and so whose final reads
            // count; and where nothing ended ok, that is unknown of our own run only.
            let is_judged_alike =
                !history.ops().any(|op| op.is_final) && history.ops().any(|op| op.outcome == Outcome::Ok);
            if history.is_foreign() || *target == Target::Jsonl || is_judged_alike {
                assert_eq!(verdict(&history), verdict(&back), "{name}\n{text}");
            }
        } else {
            let certain = |history: &History| history.ops().filter(|op| op.outcome == Outcome::Ok).count();
            assert!(certain(&back) <= certain(&history), "{name}\n{text}");
            if *target == Target::Porcupine && !history.ops().any(|op| op.is_final) {
                assert_eq!(verdict(&history), verdict(&back), "{name}\n{text}");
            }
        }
    }
}

const fn lossless(target: Target) -> bool {
    matches!(target, Target::Jsonl | Target::Edn)
}

/// An operation in words, without the numbers that texts have in one history and not in another.
fn spelled(history: &History, op: &Op<'_>) -> (u32, F, Outcome, String, bool, bool) {
    let mut value = history.value_of(op).to_json();
    // What is read from our own file has strings, and from another's words.
    respell(history, &mut value);
    (op.process, op.f.clone(), op.outcome, value.to_string(), op.is_final, op.complete_index.is_some())
}

fn respell(history: &History, json: &mut serde_json::Value) {
    use serde_json::Value as Json;
    match json {
        Json::Number(number) => {
            if let Some(number) = number.as_i64() {
                *json = history.spell(number).into_owned().into();
            }
        }
        Json::String(word) => {
            let plain = word.starts_with('"').then(|| serde_json::from_str::<String>(word).ok()).flatten();
            // What a transaction's parts do is a keyword in EDN and has lost its colon in JSON.
            let does = [":w", ":read", ":write"].contains(&&**word).then(|| word[1..].to_owned());
            *word = does.or(plain).unwrap_or_else(|| word.clone());
        }
        Json::Array(items) => items.iter_mut().for_each(|item| respell(history, item)),
        Json::Object(_) => *json = "an object".into(),
        _ => {}
    }
}
