// Models by name: what `huggingface-cli download` left on this machine.
#pragma once

#include <string>

namespace nibble {

/// The folder of the Hugging Face cache: HF_HUB_CACHE (once HUGGINGFACE_HUB_CACHE), HF_HOME/hub,
/// XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub, the first that is set.
std::string hf_cache_folder();

/// A path that exists as it is; else the snapshot of the model that the cache has under the name
/// "ORG/NAME" or "NAME", "@REVISION" behind it (main without). Nothing is downloaded.
/// Error{not_found} says where it was looked for.
std::string resolve_model(const std::string& name);

}  // namespace nibble
