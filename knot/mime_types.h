// Tells the media type of a file from its name.
#ifndef KNOT_MIME_TYPES_H_
#define KNOT_MIME_TYPES_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace knot {

class MimeTypes {
 public:
  // Starts from a built-in table of the common types; `table`, text in the format of
  // /etc/mime.types, goes before it.
  // `charset` is that of text files; "none": nobody knows.
  explicit MimeTypes(absl::string_view table = {}, absl::string_view charset = "utf-8");

  // Reads /etc/mime.types, or nothing where there is none.
  static MimeTypes FromSystem();

  // Reads the same, and what is in `file`, which goes before it; nothing where that is "off".
  // Errors: one line for people where the file cannot be read, or a line of it names no type.
  static absl::StatusOr<MimeTypes> Load(const std::string& file, absl::string_view charset);

  // Returns: the value for Content-Type by the extension of `path`, upper or lower case; text types
  // carry "; charset=utf-8", or what it is. Without a known extension "application/octet-stream".
  // Valid as long as this object.
  absl::string_view TypeOf(absl::string_view path) const;

 private:
  void Add(absl::string_view extension, absl::string_view type, absl::string_view charset);

  absl::flat_hash_map<std::string, std::string> type_by_extension_;
};

// Tells whether contents of a type, as TypeOf has it, are text of some kind, or as good as that for
// a compressor.
bool IsCompressible(absl::string_view type);

}  // namespace knot

#endif  // KNOT_MIME_TYPES_H_
