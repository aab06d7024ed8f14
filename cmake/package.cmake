# The Debian package of Knot: `./dev package` builds the target package_files and runs cpack. What it installs is a
# component of its own, which `cmake --install` leaves out.
if(NOT TARGET knot OR NOT TARGET bobbin)
  return()
endif()

set(sources ${CMAKE_SOURCE_DIR}/knot/packaging)
set(made ${CMAKE_BINARY_DIR}/packaging)
set(manual ${made}/knot.8)
set(completions ${made}/knot.bash ${made}/_knot ${made}/knot.fish)
# Written by the program itself, from its flags.
add_custom_command(OUTPUT ${manual} ${manual}.gz ${completions}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
  COMMAND knot-kernel-threads --print_manual > ${manual}
  COMMAND gzip -9 -n -k -f ${manual}
  COMMAND knot-kernel-threads --print_completion=bash > ${made}/knot.bash
  COMMAND knot-kernel-threads --print_completion=zsh > ${made}/_knot
  COMMAND knot-kernel-threads --print_completion=fish > ${made}/knot.fish
  DEPENDS knot-kernel-threads VERBATIM)
add_custom_target(package_files DEPENDS knot bobbin ${manual} ${manual}.gz ${completions})

function(package_files destination)
  install(FILES ${ARGN} DESTINATION ${destination} COMPONENT knot_package EXCLUDE_FROM_ALL)
endfunction()
install(TARGETS knot RUNTIME DESTINATION usr/bin COMPONENT knot_package EXCLUDE_FROM_ALL)
install(TARGETS bobbin LIBRARY DESTINATION usr/lib/knot COMPONENT knot_package EXCLUDE_FROM_ALL NAMELINK_SKIP)
package_files(etc/knot ${sources}/knot.conf)
package_files(lib/systemd/system ${sources}/knot.service ${sources}/knot.socket)
package_files(usr/share/knot/www ${sources}/www/index.html)
package_files(usr/share/man/man8 ${manual}.gz)
package_files(usr/share/zsh/vendor-completions ${made}/_knot)
package_files(usr/share/fish/vendor_completions.d ${made}/knot.fish)
install(FILES ${made}/knot.bash DESTINATION usr/share/bash-completion/completions RENAME knot
  COMPONENT knot_package EXCLUDE_FROM_ALL)
install(FILES ${sources}/knot.logrotate DESTINATION etc/logrotate.d RENAME knot
  COMPONENT knot_package EXCLUDE_FROM_ALL)
install(FILES LICENSE DESTINATION usr/share/doc/knot RENAME copyright COMPONENT knot_package EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};bobbin;knot_package;/")
set(CPACK_PACKAGING_INSTALL_PREFIX /)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_SOURCE_DIR}/build/package)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME knot)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The authors of Bobbin <bobbin@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "web server for static files, one thread a connection")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Knot serves the files under a directory by HTTP/1.1 and 1.0. Each connection has a thread of its own, which blocks;
 the threads are user threads of Bobbin, which comes with it.")
# Bobbin knows no other; the default name would have the epoch in it.
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE amd64)
set(CPACK_DEBIAN_FILE_NAME knot_${PROJECT_VERSION}_${CPACK_DEBIAN_PACKAGE_ARCHITECTURE}.deb)
set(CPACK_DEBIAN_PACKAGE_NAME knot)
# Debian has a name server of this name, whose version is greater: without this apt would take it for an upgrade.
set(CPACK_DEBIAN_PACKAGE_EPOCH 1)
set(CPACK_DEBIAN_PACKAGE_SECTION httpd)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "passwd, init-system-helpers (>= 1.54)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS media-types)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS logrotate)
set(CPACK_DEBIAN_PACKAGE_PROVIDES httpd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
file(WRITE ${made}/conffiles "/etc/knot/knot.conf\n/etc/logrotate.d/knot\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  "${sources}/postinst;${sources}/prerm;${sources}/postrm;${made}/conffiles")
include(CPack)
