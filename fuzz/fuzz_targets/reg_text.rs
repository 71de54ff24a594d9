//! Registration files: any bytes give operations or problems, and written operations are read back unchanged.
//! The first byte chooses the options.
#![no_main]

use hivewright_hive::reg_text::{CodePage, Form, ReadOptions, RegOperation, Writer, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, text)) = data.split_first() else { return };
    let pages = CodePage::NUMBERS.map(CodePage::new);
    let code_page = pages.get(usize::from(choice >> 2)).copied().flatten();
    let Ok(file) = parse(text, &ReadOptions { lenient: choice & 1 != 0, code_page }) else { return };
    let first = again(&file.operations);
    assert_eq!(again(&first), first);
    // The other forms cannot represent everything, and return errors.
    for form in [Form::Utf8, Form::CodePage(code_page.unwrap_or(CodePage::WESTERN))] {
        let _ = written(form, &file.operations);
    }
});

/// What reading gives of the operations that were written; without lines, which differ.
fn again(operations: &[RegOperation]) -> Vec<RegOperation> {
    let file = parse(&written(Form::Utf16, operations), &ReadOptions::default());
    let mut operations = file.unwrap_or_else(|problems| panic!("{problems}")).operations;
    operations.iter_mut().for_each(|operation| operation.line = 0);
    operations
}

fn written(form: Form, operations: &[RegOperation]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(form, |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    for operation in operations {
        let done = writer.operation(operation);
        assert!(done.is_ok() || form != Form::Utf16, "{done:?}");
    }
    writer.finish().unwrap_or_else(|error| panic!("{error}"));
    bytes
}
