# What `cmake --install` puts where, and how other projects find it: find_package(bobbin) and pkg-config.
if(TARGET bobbin)
  set_target_properties(bobbin PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    EXPORT_NAME bobbin
    INTERFACE_INCLUDE_DIRECTORIES
      "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/runtime/include>;$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  # A program uses Bobbin without naming it, so a linker that drops libraries nobody refers to would drop this one.
  set_property(TARGET bobbin APPEND PROPERTY INTERFACE_LINK_OPTIONS "LINKER:--no-as-needed")

  install(TARGETS bobbin EXPORT bobbin-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY runtime/include/bobbin DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

  # gdb loads a script beside the library, under the library's full name, where its auto-load safe-path allows; in /usr
  # it keeps them in a directory of their own that is always safe.
  set(gdb_script libbobbin.so.${PROJECT_VERSION}-gdb.py)
  configure_file(wrappers/gdb/bobbin-gdb.py ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/${gdb_script} COPYONLY)
  set(gdb_script_dir ${CMAKE_INSTALL_LIBDIR})
  if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(gdb_script_dir ${CMAKE_INSTALL_DATADIR}/gdb/auto-load${CMAKE_INSTALL_FULL_LIBDIR})
  endif()
  install(FILES wrappers/gdb/bobbin-gdb.py DESTINATION ${gdb_script_dir} RENAME ${gdb_script})

  include(CMakePackageConfigHelpers)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bobbin)
  install(EXPORT bobbin-targets NAMESPACE bobbin:: DESTINATION ${package_dir})
  configure_package_config_file(cmake/bobbin-config.cmake.in ${CMAKE_BINARY_DIR}/bobbin-config.cmake
    INSTALL_DESTINATION ${package_dir})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/bobbin-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/bobbin-config.cmake ${CMAKE_BINARY_DIR}/bobbin-config-version.cmake
    DESTINATION ${package_dir})

  # Relative to the .pc file, so that a tree installed with --prefix, or moved, still describes itself.
  file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
  configure_file(cmake/bobbin.pc.in ${CMAKE_BINARY_DIR}/bobbin.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/bobbin.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

# knot/ and wrappers/launcher/ install the programs.
if(TARGET knot AND TARGET bobbin)
  # The installed knot finds the libbobbin installed with it, wherever the prefix is; of the package's, its own.
  file(RELATIVE_PATH lib_from_bin /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(knot PROPERTIES INSTALL_RPATH "$ORIGIN/${lib_from_bin};$ORIGIN/../lib/knot")
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
