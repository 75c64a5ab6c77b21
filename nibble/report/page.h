// The frame of a page about models: what it says first, the way to its sections, the sections.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/eval/measurement.h"

namespace nibble {

struct PageSection {
  std::string_view id, heading, link;
  std::string body;  ///< markup; a section without one is left out
};

struct PageHead {
  std::string title, subject, date, version;
};

/// One self-contained document whose headline and tiles are computed from the models.
std::string render_page(const PageHead& head, const std::vector<Measurement>& models,
                        const std::vector<PageSection>& sections);

}  // namespace nibble
