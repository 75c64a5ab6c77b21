#include "nibble/text/jinja_meter.h"

#include <string>

namespace nibble::jinja {

Error failure(std::string_view reason) { return corrupt(std::string(reason)); }

void Meter::stop_for_steps() {
  steps_ = 0;
  throw failure("the template takes too many steps (an endless loop?)");
}

void Meter::stop_for_bytes() {
  steps_ = 0;
  throw failure("the template makes too much text for this conversation");
}

}  // namespace nibble::jinja
