#include "knot/manual.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "knot/command_line.h"

namespace knot {
namespace {

constexpr absl::string_view kVersionHelp = "print the version and exit";
constexpr absl::string_view kHelpHelp = "print the flags and exit";

// As text of a manual page, where a line must not begin as a request does.
std::string Roff(absl::string_view text) {
  std::string escaped =
      absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}, {"\n", " "}, {"'", "\\(aq"}});
  if (!escaped.empty() && escaped[0] == '.') escaped.insert(0, "\\&");
  return escaped;
}

// Returns: the words a flag takes, where it takes one of a few; it says them itself, when it is
// given none of them.
std::vector<std::string> WordsOf(absl::CommandLineFlag& flag) {
  if (flag.IsOfType<bool>() || flag.IsOfType<std::string>() || IsRepeatable(flag)) return {};
  const std::string kSays = "must be one of ";
  std::string error;
  std::string was = flag.CurrentValue();
  if (flag.ParseFrom("\x01", &error)) {
    flag.ParseFrom(was, &error);
    return {};
  }
  size_t at = error.find(kSays);
  if (at == std::string::npos) return {};
  return absl::StrSplit(error.substr(at + kSays.size()), ", ");
}

// In single quotes of bash and zsh, and of fish, which knows \' there.
std::string Quoted(absl::string_view text, bool fish = false) {
  if (fish)
    return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string ForBash(const Flags& flags) {
  std::vector<std::string> names = {"--help", "--version"};
  std::string cases;
  for (absl::CommandLineFlag* flag : flags) {
    bool takes_value = !flag->IsOfType<bool>();
    names.push_back(absl::StrCat("--", flag->Name(), takes_value ? "=" : ""));
    std::vector<std::string> words = WordsOf(*flag);
    if (words.empty()) continue;
    absl::StrAppend(&cases, "    --", flag->Name(), ") COMPREPLY=($(compgen -W ",
                    Quoted(absl::StrJoin(words, " ")), " -- \"$word\")) ;;\n");
  }
  return absl::StrCat(
      "# Completes the flags of knot in bash.\n"
      "_knot() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} flag=\n"
      "  COMPREPLY=()\n"
      "  # bash takes the '=' for a word of its own.\n"
      "  if [[ $word == = ]]; then\n"
      "    flag=${COMP_WORDS[COMP_CWORD - 1]} word=\n"
      "  elif ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then\n"
      "    flag=${COMP_WORDS[COMP_CWORD - 2]}\n"
      "  elif [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W ",
      Quoted(absl::StrJoin(names, " ")),
      " -- \"$word\"))\n"
      "    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
      "    return\n"
      "  fi\n"
      "  case $flag in\n",
      cases,
      "    *)\n"
      "      compopt -o filenames\n"
      "      COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "      ;;\n"
      "  esac\n"
      "}\n"
      "complete -F _knot knot\n");
}

std::string ForZsh(const Flags& flags) {
  std::string text =
      "#compdef knot\n"
      "# Completes the flags of knot in zsh.\n"
      "_arguments \\\n";
  auto described = [](absl::string_view help) {
    return absl::StrReplaceAll(help, {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
  };
  absl::StrAppend(&text, "  ", Quoted(absl::StrCat("--help[", kHelpHelp, "]")), " \\\n  ",
                  Quoted(absl::StrCat("--version[", kVersionHelp, "]")), " \\\n");
  for (absl::CommandLineFlag* flag : flags) {
    std::vector<std::string> words = WordsOf(*flag);
    bool takes_value = !flag->IsOfType<bool>();
    std::string values = !takes_value     ? ""
                         : !words.empty() ? absl::StrCat(":value:(", absl::StrJoin(words, " "), ")")
                                          : ":value:_files";
    absl::StrAppend(
        &text, "  ",
        Quoted(absl::StrCat(IsRepeatable(*flag) ? "*" : "", "--", flag->Name(),
                            takes_value ? "=" : "", "[", described(flag->Help()), "]", values)),
        " \\\n");
  }
  return absl::StrCat(text, "  '*:directory:_files -/'\n");
}

std::string ForFish(const Flags& flags) {
  std::string text = absl::StrCat(
      "# Completes the flags of knot in fish.\n"
      "complete -c knot -l help -d ",
      Quoted(kHelpHelp, true), "\ncomplete -c knot -l version -d ", Quoted(kVersionHelp, true),
      "\n");
  for (absl::CommandLineFlag* flag : flags) {
    std::vector<std::string> words = WordsOf(*flag);
    absl::StrAppend(&text, "complete -c knot -l ", flag->Name(),
                    flag->IsOfType<bool>() ? "" : " -r");
    if (!words.empty()) {
      absl::StrAppend(&text, " -f -a ", Quoted(absl::StrJoin(words, " "), true));
    }
    absl::StrAppend(&text, " -d ", Quoted(flag->Help(), true), "\n");
  }
  return text;
}

constexpr absl::string_view kDescription = R"(.SH DESCRIPTION
Knot serves the files under DIR, or the current directory, by HTTP/1.1 and 1.0.
It prints one line when it serves.
A flag, a value or a file that is wrong is named in one line on standard error.
)";

constexpr absl::string_view kRest = R"(.SH CONFIGURATION
The file of
.B \-\-config
has a flag a line, as
.BR "threads = 4096" ,
without the dashes; a flag that may be given more than once has a line for each value.
Text from a # on, at the start of a line or after a space, is a comment.
A value with spaces at its ends, or a # after a space, stands in double quotes, where \e" and \e\e are
a quote and a backslash.
.PP
A variable KNOT_ and the flag's name in capitals, as KNOT_THREADS, goes before the file, the command
line before both.
.B \-t
checks a configuration,
.B \-\-print_config
shows the one in force.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Stop: accept no more, finish replies under way within
.BR \-\-drain_timeout .
A second one ends Knot at once.
.TP
.B SIGHUP
Read the configuration and the certificates anew, and open the access log anew.
Where there is an error, all stays as it was, and a line on standard error says why.
.TP
.B SIGUSR1
Print the counters to standard error.
.TP
.B SIGUSR2
Start the program anew, hand it the listening sockets, and end when all connections have.
.SH EXIT STATUS
.TP
.B 0
It was stopped, or replaced.
.TP
.B 1
One of several processes failed.
.TP
.B 2
It could not begin to serve; with
.BR \-t ,
the configuration is not good.
.SH FILES
.TP
.I /etc/knot/knot.conf
The configuration of the service, where Knot was installed as a package.
.TP
.I /etc/mime.types
Media types by the extensions of names.
)";

}  // namespace

std::string ManualPage(const Flags& flags, absl::string_view version) {
  std::string text = absl::StrCat(
      ".\\\" Written by knot --print_manual.\n"
      ".TH KNOT 8 \"\" \"knot ",
      version,
      "\" \"System Manager's Manual\"\n"
      ".SH NAME\nknot \\- web server for static files\n"
      ".SH SYNOPSIS\n.B knot\n[\\fIFLAGS\\fR] [\\fIDIR\\fR]\n",
      kDescription, ".SH OPTIONS\n");
  auto option = [&text](absl::string_view name, absl::string_view value, absl::string_view help) {
    absl::StrAppend(&text, ".TP\n.BR \\-\\-", Roff(name), value, "\n", Roff(help), ".\n");
  };
  option("help", "", kHelpHelp);
  option("version", "", kVersionHelp);
  for (const absl::CommandLineFlag* flag : flags) {
    std::string usual = flag->DefaultValue();
    bool is_bool = flag->IsOfType<bool>();
    option(flag->Name(), is_bool ? "" : "=\\fIVALUE\\fR",
           absl::StrCat(flag->Help(), " (default: ", usual.empty() ? "none" : usual, ")"));
  }
  return absl::StrCat(text, kRest);
}

std::string Completion(Shell shell, const Flags& flags) {
  switch (shell) {
    case Shell::kBash:
      return ForBash(flags);
    case Shell::kZsh:
      return ForZsh(flags);
    case Shell::kFish:
      break;
  }
  return ForFish(flags);
}

}  // namespace knot
